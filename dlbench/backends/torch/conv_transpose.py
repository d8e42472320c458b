"""Transposed convolutions through torch."""
