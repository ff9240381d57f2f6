"""Plots of posterior draws, drawn by ArviZ from a readable part of the posterior."""
