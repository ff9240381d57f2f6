"""posteriordb's `hmm_example`, written by a user: Stan's density, and Stan's posterior."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpyro.infer.util import log_density

from experiments.verification import references
from ppl_models import fit
from ppl_models.data.kinds import Series
from ppl_models.distributions import HiddenMarkov, SphericalGaussian
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

NAME = "hmm_example-hmm_example"


def hmm_example(x: Annotated[Any, Series] = None, *, sequences=None, positions=100):
    """Two states of unit variance, their means in order; the first state is anyone's."""
    with numpyro.plate("state", 2):
        transition = numpyro.sample(
            "transition", dist.Dirichlet(jnp.ones(2)), infer={"event_dims": ["next_state"]}
        )
        loc = numpyro.sample("loc", dist.Normal(jnp.array([3.0, 10.0]), 1.0))
    if x is not None:
        sequences, positions, _ = x.shape
    with numpyro.plate("sequence", sequences):
        emission = SphericalGaussian(loc[:, None], jnp.ones(2))
        chain = HiddenMarkov(jnp.full(2, 0.5), transition, emission, positions=positions)
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["position", "feature"]})


@pytest.fixture(scope="module")
def folder(reference: Path) -> Path:
    """The folder of posteriordb."""
    return reference / "posteriordb"


@pytest.fixture(scope="module")
def data(folder) -> np.ndarray:
    """One sequence of 100 numbers, ``(sequence, position, feature)``."""
    return np.array(json.loads((folder / NAME / "data.json").read_text())["y"])[None, :, None]


def test_log_density_is_stans_up_to_a_constant(folder, data):
    points = json.loads((folder / "stan_log_density" / f"{NAME}.json").read_text())["points"]
    at = [p["constrained"] for p in points]
    sites = {
        "transition": np.array([[p[:2], p[2:4]] for p in at]),
        "loc": np.array([p[4:6] for p in at]),
    }
    with jax.enable_x64(True):
        model = Model(hmm_example, {"x": data}, {}, {})
        program = marginal_program(Problem(model, model.structure()))
        height = jax.jit(jax.vmap(lambda sites: log_density(program, (), {}, sites)[0]))
        ours = np.asarray(height(sites))
    theirs = np.array([p["log_prob_no_jacobian"] for p in points])
    assert len(points) == 10 and np.ptp(theirs) > 10
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-10, atol=1e-7)


@pytest.mark.long
def test_gibbs_draws_the_posterior_that_posteriordb_holds(folder, data):
    chains = json.loads((folder / NAME / "reference_draws.json").read_text())
    names = {"theta1[1]": (0, 0), "theta2[1]": (1, 0), "mu[1]": 0, "mu[2]": 1}
    dims = ("chain", "draw")
    theirs = xr.Dataset({n: (dims, np.array([c[n] for c in chains])) for n in names})
    tree = fit(hmm_example, data, method="gibbs", seed=3, chains=4, starts=4, predictive=0,
               relabel=None, draws=500, warmup=100)  # fmt: skip
    drawn = tree["posterior"].to_dataset()
    ours = xr.Dataset({
        n: (dims, (drawn["loc"] if n.startswith("mu") else drawn["transition"]).values[..., *place])
        for n, place in ((n, np.atleast_1d(p)) for n, p in names.items())
    })  # fmt: skip
    summary = references.summary(ours)
    assert min(line["ess"] for line in summary.values()) > 400
    off = references.errors(summary, references.summary(theirs))
    assert off.max() < 4.5  # of eight normal numbers one is beyond in 18,000
    assert np.mean(off) < 1.6
