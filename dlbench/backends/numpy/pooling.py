"""Pooling as array expressions."""
