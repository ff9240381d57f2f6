"""Reading a program: its sites, plates and parameters, and the log joint density they make."""
