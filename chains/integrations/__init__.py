"""LangChain interfaces of the index: embeddings, vector store, retriever, tool, middleware."""
