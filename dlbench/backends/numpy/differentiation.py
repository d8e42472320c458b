"""Gradients of a network in several modes as array expressions."""
