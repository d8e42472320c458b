"""Losses as array expressions."""
