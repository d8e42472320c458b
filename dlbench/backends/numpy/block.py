"""Blocks of networks as array expressions."""
