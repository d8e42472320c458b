"""Embeddings, gather, scatter and concatenation through torch."""
