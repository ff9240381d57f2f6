"""EM and Gibbs sampling for programs without sufficient statistics, on the densities of all rows."""
