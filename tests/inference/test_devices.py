"""Long data are shared between devices, and nothing changes but the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from ppl_models import fit
from ppl_models.inference.statistics import chunks

SCRIPT = """
import json
import jax
import numpy as np
from ppl_models import device, fit, memory
from ppl_models.inference.statistics import chunks

memory.CHUNK_ROWS = (10, 50)  # a little data are much then
meshes = []
devices_of = chunks._devices
chunks._devices = lambda count: meshes.append(devices_of(count)) or meshes[-1]
x = np.array(json.loads(input()))
rows = len(x)
assert rows > 2 * chunks.EXCHANGE * 50
options = {"seed": 0, "clusters": 2, "predictive": 0, "relabel": None}
em = fit("gaussian_mixture", x, method="em", starts=1, iterations=5, **options)
gibbs = fit("gaussian_mixture", x, method="gibbs", starts=1, chains=2, warmup=5, draws=20,
            keep_assignments=True, **options)
jax.clear_caches()
device.is_wide, memory.WIDE_ROWS = lambda: True, 16
wide = fit("gaussian_mixture", x, method="em", starts=1, iterations=5, **options)
print(json.dumps({
    "devices": jax.local_device_count(),
    "shared": [mesh is not None and mesh.size for mesh in meshes],
    "wide": wide["posterior/loc"].values.ravel().tolist(),
    "log_likelihood": float(em["log_likelihood/x"].sum()),
    "em": em["posterior/loc"].values.ravel().tolist(),
    "gibbs": gibbs["posterior/loc"].values.mean((0, 1)).tolist(),
    "first": gibbs["posterior/assignment"].values[0, -1, : rows // 2].mean(),
    "last": gibbs["posterior/assignment"].values[0, -1, rows // 2 :].mean(),
}))
"""


#: compiling well would cost, not save, time
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Two groups, one after the other."""
    rows = 2 * chunks.EXCHANGE * 50 + 11
    first = np.arange(rows) < rows // 2
    return np.random.default_rng(0).normal(size=rows) + np.where(first, 0.0, 8.0)


@pytest.fixture(scope="module")
def found(x):
    """What the script prints with two devices."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", **QUICK}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True,
        input=json.dumps(x.tolist()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_em_is_the_same(x, found):
    """As here, with one device and the data in one chunk."""
    tree = fit("gaussian_mixture", x, method="em", seed=0, clusters=2, predictive=0, starts=1,
               iterations=5)  # fmt: skip
    assert (jax.local_device_count(), found["devices"]) == (1, 2)
    assert set(found["shared"]) == {2}  # all three fits
    here = float(tree["log_likelihood/x"].sum())
    assert found["log_likelihood"] == pytest.approx(here, rel=1e-9)
    loc = tree["posterior/loc"].values.ravel().tolist()
    assert found["em"] == pytest.approx(loc, rel=1e-6)
    assert found["wide"] == pytest.approx(loc, rel=1e-6)


def test_gibbs_draws_of_the_posterior_and_rows_keep_their_places(found):
    """Two devices; the posterior of 400 rows a cluster is narrow about 0 and 8."""
    assert sorted(found["gibbs"]) == pytest.approx([0.0, 8.0], abs=0.3)
    assert abs(found["first"] - found["last"]) > 0.99
