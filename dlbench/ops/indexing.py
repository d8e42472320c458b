"""Embeddings, gather, scatter and concatenation."""
