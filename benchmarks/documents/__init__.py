"""How well document readers read small files whose text was written by hand."""
