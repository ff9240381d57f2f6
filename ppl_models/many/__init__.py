"""One program on many data sets."""
