"""Top-k, argsort and non-maximum suppression as loops on one core."""
