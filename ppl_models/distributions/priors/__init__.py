"""Priors that NumPyro lacks, draws of priors, and conditionals of shapes and axes."""
