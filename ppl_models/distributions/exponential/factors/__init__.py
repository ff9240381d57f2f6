"""Factor analysis: scores of factors, starts, and updates of loadings and noise."""
