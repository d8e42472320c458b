"""Top-k, argsort and non-maximum suppression through torch."""
