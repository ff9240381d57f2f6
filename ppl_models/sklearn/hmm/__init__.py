"""Hidden Markov models with hmmlearn's interface."""
