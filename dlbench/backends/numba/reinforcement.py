"""The DQN's learning step as loops on one core."""
