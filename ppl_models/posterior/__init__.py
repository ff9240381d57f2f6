"""The result tree of a fit, and everything computed from it."""
