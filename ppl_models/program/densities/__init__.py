"""Log-densities of a program's rows: of cells, pairs of rows, and integrated local sites."""
