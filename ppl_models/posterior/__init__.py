"""What is known after a fit: the tree, and everything that is asked of it."""
