"""The columns of a convolution through torch."""
