"""Whole networks as loops on one core."""
