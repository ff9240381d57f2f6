"""Continuing a fit: more rows, or more draws."""
