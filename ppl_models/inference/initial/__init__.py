"""Initial values: seeds by k-means++, partitions, draws and means of the priors."""
