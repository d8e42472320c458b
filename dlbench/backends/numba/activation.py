"""Activation functions as loops on one core."""
