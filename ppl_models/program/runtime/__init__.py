"""How compiled functions are run: compilation, precision, random keys, checkpoints."""
