"""Losses through torch."""
