"""How many programs a process compiles for its first calls."""

import json
import subprocess
import sys

COUNTED = """
import json
import numpy as np
import jax
from ppl_models import fit, log_density, predict

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event.endswith("backend_compile_duration"))
)
x = np.random.default_rng(0).normal(size=(30, 2)) + 6 * (np.arange(30) > 12)[:, None]
counts = []
short = {"chains": 2, "warmup": 5, "draws": 5}
for call in (
    lambda: fit("gaussian_mixture", x, method="em", seed=0, clusters=2),
    lambda: (predict(tree, x), log_density(tree, x)),
    lambda: fit("gaussian_mixture", x[::-1] + 1, method="em", seed=1, clusters=2),
    lambda: fit("gaussian_mixture", x[1:], method="em", seed=1, clusters=2),
    lambda: fit("gaussian_mixture", x, method="gibbs", seed=0, clusters=2, **short),
    lambda: fit("gaussian_mixture", x[1:] + 1, method="gibbs", seed=1, clusters=2, **short),
    lambda: fit("gaussian_mixture", x, method="nuts", seed=0, clusters=2, **short),
    lambda: fit("gaussian_mixture", x[1:] + 1, method="nuts", seed=1, clusters=2, **short),
):
    compiled.clear()
    tree = call() if not counts else call() and tree
    counts.append(sum(compiled))
print(json.dumps(counts))
"""

MOST = 8  #: of a first fit by EM, its tree included
MOST_OF_SAMPLERS = 10  #: of a first fit by Gibbs sampling after one by EM, or by NUTS after both


def test_em_compiles_few_programs_and_nothing_twice():
    answer = subprocess.run(
        [sys.executable, "-c", COUNTED], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    first, questions, again, fewer, *samplers = json.loads(answer.stdout)
    assert first <= MOST
    assert questions == 0
    assert again == 0  # other data of the same shape, another seed
    assert fewer == 0  # another number of rows, padded to the same one
    gibbs, gibbs_again, nuts, nuts_again = samplers
    assert gibbs <= MOST_OF_SAMPLERS
    assert nuts <= MOST_OF_SAMPLERS
    assert gibbs_again == nuts_again == 0  # another number of rows, other data, another seed
