"""What indexing and searching share: the model, words, the library, search."""
