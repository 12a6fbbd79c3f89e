"""The library on disk: SQLite as truth, FAISS derived from it."""
