"""Sites, plates, axes and chains of a program, sorted from one abstract trace."""
