"""The columns of a convolution."""
