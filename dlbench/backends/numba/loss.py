"""Losses as loops on one core."""
