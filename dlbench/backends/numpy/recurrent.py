"""Recurrent layers as array expressions."""
