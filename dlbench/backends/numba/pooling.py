"""Pooling as loops on one core."""
