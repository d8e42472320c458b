"""Products of a sparse and a dense matrix as array operations on a GPU."""
