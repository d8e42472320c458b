"""Blocks of networks as array operations on a GPU."""
