"""Gradients of a network in several modes."""
