"""Dropout as array expressions."""
