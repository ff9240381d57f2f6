"""EM and Gibbs sampling for programs without sufficient statistics, by the rows' densities."""
