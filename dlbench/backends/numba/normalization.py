"""Normalisation as loops on one core."""
