"""Conversion between the project's prompts and answers and LangChain messages and prompt templates."""
