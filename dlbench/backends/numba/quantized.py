"""Matrix products of 8-bit numbers as loops on one core."""
