"""Embeddings, gather, scatter and concatenation as array operations on a GPU."""
