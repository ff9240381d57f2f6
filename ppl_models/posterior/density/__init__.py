"""Densities and responsibilities of rows, fitted or new, from a fit."""
