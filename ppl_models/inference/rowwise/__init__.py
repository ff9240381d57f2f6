"""EM and Gibbs for programs whose rows no statistics sum up: on the densities of all rows."""
