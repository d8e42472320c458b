"""Convolutions over one and three axes as loops on one core."""
