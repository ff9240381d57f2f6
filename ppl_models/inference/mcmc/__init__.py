"""mcmc."""
