"""Pooling as array operations on a GPU."""
