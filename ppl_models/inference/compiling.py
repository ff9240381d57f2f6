"""How much a compiler should try, for functions that run once on few numbers.

Their compilation costs far more than their run, and the whole optimiser saves nothing.
"""

QUICK = {"xla_backend_optimization_level": 0}
