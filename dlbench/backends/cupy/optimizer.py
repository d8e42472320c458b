"""Steps of optimizers as array operations on a GPU."""
