"""Other libraries' own tests, run against this package's estimators."""
