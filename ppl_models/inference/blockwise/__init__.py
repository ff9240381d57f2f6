"""Passes over rows that are read block by block: the sums are those of rows in memory."""
