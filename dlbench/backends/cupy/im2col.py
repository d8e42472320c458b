"""The columns of a convolution as array operations on a GPU."""
