"""The LSTM tagger through torch."""
