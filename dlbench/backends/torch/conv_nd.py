"""Convolutions over one and three axes through torch."""
