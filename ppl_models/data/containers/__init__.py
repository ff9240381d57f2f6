"""Containers to plain arrays: tables, sequences of tokens, graphs."""
