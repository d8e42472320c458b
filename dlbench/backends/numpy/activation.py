"""Activation functions as array expressions."""
