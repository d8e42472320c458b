"""The columns of a convolution as array expressions."""
