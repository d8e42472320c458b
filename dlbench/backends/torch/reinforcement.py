"""The DQN's learning step through torch."""
