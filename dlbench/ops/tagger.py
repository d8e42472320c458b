"""The LSTM tagger."""
