"""SQLite storage: documents, passages, full-text terms and vectors, with checksums."""
