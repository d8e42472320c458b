"""Top-k, argsort and non-maximum suppression as array expressions."""
