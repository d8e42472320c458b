"""What the numbers mean: the table, speed-ups, peaks, totals."""
