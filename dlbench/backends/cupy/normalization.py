"""Normalisation as array operations on a GPU."""
