"""Densities without a mode are refused with a way out that works, by EM and by ``map``."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, fit_many
from ppl_models.data import Bits, Categories, Reals
from ppl_models.errors import InputError

_g = np.random.default_rng(0)
KIND = np.arange(80) % 2
BITS = (_g.random((80, 6)) < np.where(KIND[:, None] == np.arange(6) % 2, 0.99, 0.01)).astype(int)
NUMBERS = _g.normal(3, 1, 40)


def topics(
    doc: Annotated[Any, Categories] = None,
    word: Annotated[Any, Categories] = None,
    *,
    concentration: float = 0.5,
):
    """Words of documents, from two topics."""
    with numpyro.plate("topic", 2):
        phi = numpyro.sample("phi", dist.Dirichlet(jnp.full(4, concentration)))
    with numpyro.plate("document", 10):
        theta = numpyro.sample("theta", dist.Dirichlet(jnp.full(2, concentration)))
    with numpyro.plate("token", doc.shape[0]):
        z = numpyro.sample("z", dist.Categorical(theta[doc]), infer={"enumerate": "parallel"})
        numpyro.sample("word", dist.Categorical(phi[z]), obs=word)


DOCUMENTS = np.repeat(np.arange(10), 30)
WORDS = {
    "doc": DOCUMENTS,
    "word": np.where(DOCUMENTS % 2, _g.integers(0, 2, 300), _g.integers(2, 4, 300)),
}


def widths(y: Annotated[Any, Reals] = None, *, concentration: float = 0.3):
    """A width of two parts, of which the data leave one as small as it likes to be."""
    rest = numpyro.sample("rest", dist.Gamma(concentration, 1.0))
    loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    scale = numpyro.sample("scale", dist.HalfNormal(5.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(loc, scale + rest), obs=y)


def coin(y: Annotated[Any, Bits] = None, *, concentration: float = 0.5):
    """One probability."""
    p = numpyro.sample("p", dist.Beta(concentration, concentration))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Bernoulli(p), obs=y)


SPARSE = {"clusters": 3, "concentration": 0.1}
CASES = [
    pytest.param("bernoulli_mixture", BITS, SPARSE, "weights", "em", id="weights"),
    pytest.param("bernoulli_mixture", BITS, SPARSE, "weights", "hard", id="weights, hard"),
    pytest.param("bernoulli_mixture", BITS, SPARSE, "weights", "stochastic_em", id="in batches"),
    pytest.param(topics, WORDS, {}, "theta", "em", id="topics"),
    pytest.param(widths, NUMBERS, {}, "rest", "em", id="width"),
    pytest.param(widths, NUMBERS, {}, "rest", "map", id="width, map"),
    pytest.param(coin, np.zeros(30, int), {}, "p", "em", id="coin"),
]
OPTIONS = {"seed": 0, "predictive": 0}


@pytest.mark.parametrize(("program", "data", "arguments", "site", "method"), CASES)
def test_a_density_without_a_mode_is_refused(program, data, arguments, site, method):
    with pytest.raises(InputError, match=f"'{site}'.* prior.*infinite.*has no mode") as refused:
        fit(program, data, method=method, **OPTIONS, **arguments)
    said = str(refused.value)
    assert "a concentration of at least 1" in said
    assert said.endswith("use method='gibbs', which needs none")
    assert ("priors='flat'" in said) == (method != "map")


@pytest.mark.parametrize(
    ("program", "data", "arguments", "method"),
    [(c.values[0], c.values[1], c.values[2], c.values[4]) for c in CASES],
    ids=[c.id for c in CASES],
)
def test_a_concentration_of_one_is_a_way_out_that_works(program, data, arguments, method):
    tree = fit(program, data, method=method, **OPTIONS, **{**arguments, "concentration": 1.0})
    assert np.isfinite(tree["sample_stats"]["lp"].values).all()
    assert tree["starts"]["converged"].values[tree["starts"]["best"].values].all()


@pytest.mark.parametrize(
    ("program", "data", "arguments"),
    [(c.values[0], c.values[1], c.values[2]) for c in CASES if c.id in ("weights", "topics")],
    ids=["weights", "topics"],
)
@pytest.mark.parametrize(
    "way",
    [
        {"method": "em", "priors": "flat"},
        {"method": "gibbs", "warmup": 50, "draws": 50},
    ],
    ids=["flat", "gibbs"],
)
def test_other_ways_out_work(program, data, arguments, way):
    tree = fit(program, data, **way, **OPTIONS, **arguments)
    assert np.isfinite(tree["sample_stats"]["lp"].values).all()
    assert all(np.isfinite(v).all() for v in tree["posterior"].data_vars.values())
    assert "without a mode" not in tree.attrs["notes"]


def test_groups_without_a_mode_are_told():
    with pytest.raises(InputError, match="infinite.*no mode: give concentrations of at least 1"):
        fit_many("bernoulli_mixture", [BITS, BITS[::2]], seed=0, **SPARSE)
    trees = fit_many("bernoulli_mixture", [BITS, BITS[::2]], seed=0, clusters=3, priors="flat")
    assert trees["groups"]["converged"].all()


@pytest.mark.parametrize("method", ["em", "map"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_mode_inside_is_found_under_the_same_priors(method, precision):
    """Ones of 12 of 30 throws under Beta(½, ½): (12 - ½) / (30 - 1)."""
    tree = fit(coin, np.arange(30) % 5 < 2, method=method, precision=precision, **OPTIONS)
    np.testing.assert_allclose(tree["posterior"]["p"].values, 11.5 / 29, atol=1e-3)


def test_a_finite_mode_is_kept_beside_starts_that_ran_to_the_edge():
    rows = np.r_[_g.normal(size=(60, 2)), _g.normal(8, 1, size=(60, 2))]
    tree = fit(
        "gaussian_mixture", rows, method="em", starts=8, clusters=3, concentration=0.7, **OPTIONS
    )
    best = tree["starts"]["best"].values
    objective = tree["starts"]["objective"].values
    assert np.isposinf(objective[~best]).any()
    assert np.nanmax(objective[best]) < np.inf
    assert (tree["posterior"]["weights"] > 0).all()
