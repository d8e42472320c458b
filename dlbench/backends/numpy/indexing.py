"""Embeddings, gather, scatter and concatenation as array expressions."""
