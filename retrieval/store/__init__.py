"""SQLite: documents, passages, terms and vectors, with checksums. Imports encoders, splitting and `documents`."""
