"""Products of a sparse and a dense matrix as loops on one core."""
