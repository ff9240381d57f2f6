"""Graphs generated edge by edge, in breadth-first order of their nodes."""
