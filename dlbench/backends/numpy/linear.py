"""The fully connected layer as array expressions."""
