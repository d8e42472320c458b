"""Recurrent layers as loops on one core."""
