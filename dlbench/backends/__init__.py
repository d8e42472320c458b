"""How it is computed: one folder for each framework."""
