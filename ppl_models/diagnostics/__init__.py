"""Can a fit be trusted: diagnosis, predictive checks, prior sensitivity."""
