"""Questions about the documentation of public projects, which nobody here wrote; the documents are fetched."""
