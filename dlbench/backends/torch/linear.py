"""The fully connected layer through torch."""
