"""The signature of a program, and its arguments: from text, as JSON, checked, completed."""
