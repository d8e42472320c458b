"""The LSTM tagger as loops on one core."""
