"""Words: their vectors, their spellings, and queries made of them."""
