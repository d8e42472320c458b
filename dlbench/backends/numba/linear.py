"""The fully connected layer as loops on one core."""
