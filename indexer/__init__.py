"""Writes the library: scan, decode, encode, store."""
