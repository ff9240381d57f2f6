"""Effect handlers around a program: all rows, all values, entries that are held."""
