"""Activation functions as array operations on a GPU."""
