"""Normalisation as array expressions."""
