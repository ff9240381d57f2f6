"""New data from a fit: predictive draws, generation, imputation."""
