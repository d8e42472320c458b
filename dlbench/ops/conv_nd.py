"""Convolutions over one and three axes."""
