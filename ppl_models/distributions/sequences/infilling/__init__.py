"""Missing tokens of sequences: drawn, most probable, or summed out, given all known tokens."""
