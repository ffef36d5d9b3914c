"""LangChain components for other applications: embeddings, vector store, retriever, search tool, middleware."""
