"""The columns of a convolution as loops on one core."""
