"""How often EM's starts come to the best optimum known: ``python -m experiments.optima``."""
