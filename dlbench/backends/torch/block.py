"""Blocks of networks through torch."""
