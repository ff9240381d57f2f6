"""pitman_yor."""
