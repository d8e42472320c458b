"""Normalisation through torch."""
