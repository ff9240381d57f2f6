"""Stochastic gradients: guides, mini-batches, training, and how near a guide is to the posterior."""
