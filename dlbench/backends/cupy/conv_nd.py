"""Convolutions over one and three axes as array operations on a GPU."""
