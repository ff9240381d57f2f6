"""From a program and data to posterior draws or a point: reading, statistics, methods."""
