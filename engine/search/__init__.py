"""Queries against the library: exact scores, hits, heatmaps."""
