"""A vector store: records with metadata in the same index format as documents."""
