"""Steps of optimizers as loops on one core."""
