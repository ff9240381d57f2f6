"""Long data are shared between devices, and nothing changes but the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json
import jax
import numpy as np
from ppl_models import fit, log_density
from ppl_models.inference import chunks

chunks.CHUNK_ROWS = (10, 50)  # a little data are much then
rows = 2 * chunks.EXCHANGE * 50 + 11
first = np.arange(rows) < rows // 2
x = np.random.default_rng(0).normal(size=rows) + np.where(first, 0.0, 8.0)
options = {"seed": 0, "clusters": 2, "predictive": 0, "relabel": None}
em = fit("gaussian_mixture", x, method="em", starts=1, iterations=5, **options)
found = {
    "devices": jax.local_device_count(),
    "log_likelihood": float(em["log_likelihood/x"].sum()),
    "em": em["posterior/loc"].values.ravel().tolist(),
}
if found["devices"] == 1:
    print(json.dumps(found))
    raise SystemExit
gibbs = fit("gaussian_mixture", x, method="gibbs", starts=1, chains=2, warmup=5, draws=20,
            assignments=True, **options)
print(json.dumps({
    **found,
    "gibbs": gibbs["posterior/loc"].values.mean((0, 1)).tolist(),
    "first": gibbs["posterior/assignment"].values[0, -1, : rows // 2].mean(),
    "last": gibbs["posterior/assignment"].values[0, -1, rows // 2 :].mean(),
}))
"""


#: compiling well would cost, not save, time
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.fixture(scope="module")
def found():
    """What the script prints with one device and with two."""
    results = []
    for devices in ("1", "2"):
        environment = {**os.environ, "JAX_NUM_CPU_DEVICES": devices, **QUICK}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return results


def test_em_is_the_same(found):
    one, two = found
    assert (one["devices"], two["devices"]) == (1, 2)
    assert two["log_likelihood"] == pytest.approx(one["log_likelihood"], rel=1e-9)
    assert two["em"] == pytest.approx(one["em"], rel=1e-6)


def test_gibbs_draws_of_the_posterior_and_rows_keep_their_places(found):
    """Two devices; the posterior of 400 rows a cluster is narrow about 0 and 8."""
    two = found[1]
    assert sorted(two["gibbs"]) == pytest.approx([0.0, 8.0], abs=0.3)
    assert abs(two["first"] - two["last"]) > 0.99
