"""Expected sufficient statistics: chunks of rows, the E-step, draws of assignments, the M-step."""
