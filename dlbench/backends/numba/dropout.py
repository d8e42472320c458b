"""Dropout as loops on one core."""
