"""Many data sets at once."""
