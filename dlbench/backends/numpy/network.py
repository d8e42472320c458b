"""Whole networks as array expressions."""
