"""Dropout through torch."""
