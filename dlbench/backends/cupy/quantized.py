"""Matrix products of 8-bit numbers as array operations on a GPU."""
