"""The DQN's learning step as array operations on a GPU."""
