"""Top-k, argsort and non-maximum suppression as array operations on a GPU."""
