"""Pooling through torch."""
