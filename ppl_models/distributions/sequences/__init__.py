"""Sequences of tokens: n-grams, recurrent cells, pixels in order, infilling."""
