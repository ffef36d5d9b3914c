"""The steps from a question to a cited answer: query, evidence, history, examples, prompt, citations.

The lowest subpackage of `chains`: imports `prompts`, `retrieval` and `soft_prompt`, but not LangChain. All other
subpackages, `evaluation` and `softgraft` build on it.
"""
