"""LangChain components for use in other applications: embeddings, vector store, retriever, search tool, middleware.

Imports `retrieval`, `answering`, `messages` and `chat`; `softgraft` builds on it.
"""
