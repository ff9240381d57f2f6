"""Variational Bayes by updates in closed form."""
