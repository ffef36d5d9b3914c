"""FAISS over the vectors in SQLite: index kinds, candidates, files. Imports store; ingestion and ranking use it."""
