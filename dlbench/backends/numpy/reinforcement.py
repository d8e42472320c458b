"""The DQN's learning step as array expressions."""
