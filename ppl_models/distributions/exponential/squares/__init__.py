"""Squares of rows about a centre: where they cancel, second moments, whitened distances."""
