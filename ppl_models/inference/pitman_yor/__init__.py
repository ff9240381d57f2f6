"""The hierarchical Pitman-Yor process: Gibbs sampling of the Chinese restaurant franchise."""
