"""Transposed convolutions as array operations on a GPU."""
