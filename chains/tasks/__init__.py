"""Classification, summarisation and translation as LangChain runnables: labels, their scores, task chains.

Imports `answering` and `chat`; `softgraft` builds on it.
"""
