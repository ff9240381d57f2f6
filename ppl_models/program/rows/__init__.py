"""Rows of a program: their weights, known clusters, order and padding."""
