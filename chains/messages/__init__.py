"""Conversion between the project's prompts and answers and LangChain messages and prompt templates.

Imports `prompts` and `chains.errors`; all LangChain-facing subpackages of `chains` build on it.
"""
