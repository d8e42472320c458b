"""Activation functions through torch."""
