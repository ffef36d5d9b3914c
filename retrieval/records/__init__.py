"""An index of records with metadata, as vector stores have them. May import every other subpackage of retrieval."""
