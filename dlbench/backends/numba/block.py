"""Blocks of networks as loops on one core."""
