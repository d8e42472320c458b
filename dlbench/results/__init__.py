"""What was measured: the measurement, the store, and files."""
