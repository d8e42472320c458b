"""Transposed convolutions as loops on one core."""
