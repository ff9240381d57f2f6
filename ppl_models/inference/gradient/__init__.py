"""Stochastic gradients: guides, mini-batches, training, and the accuracy of guides."""
