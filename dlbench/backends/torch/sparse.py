"""Products of a sparse and a dense matrix through torch."""
