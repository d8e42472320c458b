"""Steps of optimizers through torch."""
