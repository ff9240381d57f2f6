"""Replicated data sets against the data: counts, densities, tokens."""
