"""Products of a sparse and a dense matrix as array expressions."""
