"""Gradients of a network in several modes as loops on one core."""
