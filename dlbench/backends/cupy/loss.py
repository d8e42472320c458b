"""Losses as array operations on a GPU."""
