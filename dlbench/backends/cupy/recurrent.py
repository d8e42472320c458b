"""Recurrent layers as array operations on a GPU."""
