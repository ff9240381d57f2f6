"""Which site is which parameter of which emission, and which components may change places."""
