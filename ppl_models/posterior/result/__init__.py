"""The result tree of a fit: its schema, its storage, and the fit restored from it."""
