"""The fully connected layer as array operations on a GPU."""
