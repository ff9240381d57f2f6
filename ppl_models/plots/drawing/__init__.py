"""Helpers of plots: reading a fit, panels, the house style, and what is drawn in panels."""
