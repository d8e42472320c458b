"""Gradients of a network in several modes as array operations on a GPU."""
