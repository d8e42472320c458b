"""Dropout as array operations on a GPU."""
