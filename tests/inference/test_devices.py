"""Long data are shared between devices, of one process or several; only the time changes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from ppl_models import fit
from ppl_models.inference.statistics import chunks

SCRIPT = """
import json
import os
import jax
if "RANK" in os.environ:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(os.environ["COORDINATOR"], 2, int(os.environ["RANK"]))
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
    "devices": jax.device_count(),
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


@pytest.fixture(scope="module", params=["devices", "processes"])
def actual(x, request):
    """What the script prints with two devices, of one process or of one each."""
    environment = {**os.environ, **QUICK}
    if request.param == "devices":
        own = [{"JAX_NUM_CPU_DEVICES": "2"}]
    else:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            place = f"localhost:{free.getsockname()[1]}"
        own = [{"JAX_NUM_CPU_DEVICES": "1", "COORDINATOR": place, "RANK": r} for r in "01"]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], env=environment | each, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for each in own
    ]  # fmt: skip
    for run in runs:  # each waits for the other, so that both must have begun
        assert run.stdin is not None
        run.stdin.write(json.dumps(x.tolist()) + "\n")
        run.stdin.close()
        run.stdin = None
    printed = []
    for run in runs:
        out, err = run.communicate(timeout=600)
        assert run.returncode == 0, err[-2000:]
        printed.append(json.loads(out.splitlines()[-1]))
    assert all(each == printed[0] for each in printed)
    return printed[0]


def test_em_is_the_same(x, actual):
    """As here, with one device and the data in one chunk."""
    tree = fit("gaussian_mixture", x, method="em", seed=0, clusters=2, predictive=0, starts=1,
               iterations=5)  # fmt: skip
    assert (jax.device_count(), actual["devices"]) == (1, 2)
    assert set(actual["shared"]) == {2}  # all three fits
    here = float(tree["log_likelihood/x"].sum())
    assert actual["log_likelihood"] == pytest.approx(here, rel=1e-9)
    loc = tree["posterior/loc"].values.ravel().tolist()
    assert actual["em"] == pytest.approx(loc, rel=1e-6)
    assert actual["wide"] == pytest.approx(loc, rel=1e-6)


def test_gibbs_draws_of_the_posterior_and_rows_keep_their_places(actual):
    """Two devices; the posterior of 400 rows a cluster is narrow about 0 and 8."""
    assert sorted(actual["gibbs"]) == pytest.approx([0.0, 8.0], abs=0.3)
    assert abs(actual["first"] - actual["last"]) > 0.99
