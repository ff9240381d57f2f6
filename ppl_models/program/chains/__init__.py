"""Programs whose rows are the steps of a chain: their data, densities and recursions."""
