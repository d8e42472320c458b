"""What is computed: ops, problems and how far an answer may be off."""
