"""Lloyd's algorithm for k-means: exact bounds, blocks of rows, known clusters, better optima."""
