"""Exponential families: an emission a file, and the bases that they are made of."""
