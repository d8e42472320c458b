"""Transposed convolutions as array expressions."""
