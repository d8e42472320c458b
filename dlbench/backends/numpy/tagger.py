"""The LSTM tagger as array expressions."""
