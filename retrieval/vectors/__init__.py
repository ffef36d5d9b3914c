"""Dense search: the FAISS index over the vectors that SQLite stores."""
