"""Expectation-maximisation: the loop over iterations, several starts, the best of them."""
