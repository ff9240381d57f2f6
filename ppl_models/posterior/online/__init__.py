"""Going on from a fit with more rows."""
