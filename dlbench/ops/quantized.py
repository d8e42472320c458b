"""Matrix products of 8-bit numbers."""
