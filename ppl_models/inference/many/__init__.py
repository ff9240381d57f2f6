"""EM and Gibbs sampling on many data sets at once, side by side in one compiled function."""
