"""Recurrent layers through torch."""
