"""Embeddings, gather, scatter and concatenation as loops on one core."""
