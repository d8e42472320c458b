"""Whole networks as array operations on a GPU."""
