"""From a method's result to the tree: groups, names of axes, and the facts."""
