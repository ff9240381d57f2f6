"""Markov chain Monte Carlo: NUTS and Gibbs kernels, label swaps, where chains start and stand."""
