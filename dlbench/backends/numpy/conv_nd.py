"""Convolutions over one and three axes as array expressions."""
