"""Whether the point where a method ends is a mode."""
