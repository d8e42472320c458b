"""Whole networks through torch."""
