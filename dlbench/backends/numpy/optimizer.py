"""Steps of optimizers as array expressions."""
