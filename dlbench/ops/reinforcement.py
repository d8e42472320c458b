"""The DQN's learning step."""
