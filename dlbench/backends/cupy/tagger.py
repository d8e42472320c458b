"""The LSTM tagger as array operations on a GPU."""
