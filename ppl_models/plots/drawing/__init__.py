"""What plots are made of: reading a fit, panels, the house style, strokes of each kind."""
