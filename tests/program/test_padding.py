"""Rows padded to a few numbers: the answer is that of the rows alone, to rounding."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, log_density, predict
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model
from ppl_models.program.rows import padding

RANDOM = np.random.default_rng(1)
GROUPS = np.repeat([0, 1], [20, 17])
X = RANDOM.normal(6.0 * GROUPS[:, None], 1.0, (37, 2))
GAPS = np.where(np.isin(np.arange(37), [0, 3, 36])[:, None] & [True, False], np.nan, X)
COUNTS = RANDOM.poisson(3.0 + 12 * GROUPS[:, None], (37, 3))
BITS = (RANDOM.random((37, 6)) < 0.2 + 0.6 * GROUPS[:, None]).astype(int)
KINDS = np.where(RANDOM.random((37, 5)) < 0.7, 2 * GROUPS[:, None], RANDOM.integers(0, 3, (37, 5)))
WEIGHTS = RANDOM.integers(0, 4, 37).astype(float)
GROUPS_OF_TREE = ("posterior", "log_likelihood", "responsibilities", "sample_stats", "starts")
#: (with a tolerance above rounding, which would decide at which iteration a start ends)
SHORT = {"starts": 2, "iterations": 20, "tolerance": 1e-8, "predictive": 4}


def both(monkeypatch, program, data, method="em", **arguments):
    arguments = arguments or SHORT
    tree = fit(program, data, method=method, seed=0, clusters=2, relabel=None, **arguments)
    monkeypatch.setattr(padding, "padding", False)
    alone = fit(program, data, method=method, seed=0, clusters=2, relabel=None, **arguments)
    monkeypatch.setattr(padding, "padding", True)
    return tree, alone


def agree(tree, alone, groups=GROUPS_OF_TREE):
    for group in (g for g in groups if g in alone.children):
        for name, value in alone[group].data_vars.items():
            if name == "best" and np.ptp(alone["starts/final"].values) < 1e-8:
                continue  # of starts with one optimum, rounding chooses
            padded = tree[group][name]
            if name == "iterations":  # where a gain is next to the tolerance, rounding ends a start
                np.testing.assert_allclose(padded, value, atol=1)
                continue
            if "iteration" in value.dims:
                both = {
                    "iteration": slice(min(padded.sizes["iteration"], value.sizes["iteration"]))
                }
                padded, value = padded.isel(both), value.isel(both)
            if value.dtype.kind in "fiub":
                np.testing.assert_allclose(padded, value, rtol=1e-8, atol=1e-9)


def test_fit_and_predictions_with_missing_cells_are_those_of_the_rows_alone(monkeypatch):
    tree, alone = both(monkeypatch, "gaussian_mixture", GAPS, covariance="diagonal", **SHORT)
    agree(tree, alone, (*GROUPS_OF_TREE, "posterior_predictive", "prior", "log_prior"))
    few = GAPS[5:12]
    padded = predict(tree, few), log_density(tree, few)
    monkeypatch.setattr(padding, "padding", False)
    np.testing.assert_allclose(padded[0], predict(alone, few), rtol=1e-9)
    np.testing.assert_allclose(padded[1], log_density(alone, few), rtol=1e-9)


@pytest.mark.long  # each compiles a program twice; the quick one above is of the same code
@pytest.mark.parametrize(
    ("program", "data", "arguments"),
    [
        ("gaussian_mixture", X, {}),
        ("gaussian_mixture", GAPS, {}),
        ("gaussian_mixture", GAPS, {"weights": WEIGHTS}),
        ("gaussian_mixture", X, {"covariance": "spherical"}),
        ("gaussian_mixture", GAPS, {"covariance": "tied"}),
        ("gaussian_mixture", X[:, 0], {"priors": "flat"}),
        ("gaussian_mixture", X, {"weight_prior": "stick_breaking"}),
        ("poisson_mixture", COUNTS, {"weights": WEIGHTS}),
        ("negative_binomial_mixture", COUNTS, {}),
        ("zero_inflated_mixture", COUNTS, {}),
        ("hurdle_mixture", COUNTS, {}),
        ("bernoulli_mixture", BITS, {}),
        ("categorical_mixture", KINDS, {}),
    ],
)
@pytest.mark.parametrize("method", ["em", "hard"])
def test_all_families(monkeypatch, program, data, arguments, method):
    agree(*both(monkeypatch, program, data, method, **SHORT, **arguments))


def pieces(model):
    return Problem(model, model.structure()).padded


def coins(x=None, *, clusters, rows=None, features=None):
    """Rows of bits."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", dist.Beta(jnp.full(6, 2.0), 2.0).to_event(1))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Bernoulli(probs[z]).to_event(1), obs=x)


def looking(x=None, *, clusters, use_rows):
    """The same with a prior that looks at the data, or at how many rows there are."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    mean = len(x) / 100 if use_rows else x.mean()
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", dist.Beta(jnp.full(6, 1 + mean), 2.0).to_event(1))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Bernoulli(probs[z]).to_event(1), obs=x)


def numbered(x=None, *, clusters):
    """The same, a row's density depending on its place."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", dist.Beta(2.0, 2.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        proportion = probs[z][..., None] / (1 + jnp.arange(len(x)))[:, None]
        numpyro.sample("x", dist.Bernoulli(proportion * jnp.ones(6)).to_event(1), obs=x)


def test_a_program_of_ones_own_is_padded_where_its_priors_do_not_look_at_the_rows():
    padded = pieces(Model(coins, {"x": BITS}, {"clusters": 2}, {}))
    assert padded.structure.rows == 512
    assert padded.model.weights.sum() == 37
    for arguments in ({"use_rows": True}, {"use_rows": False}):
        assert pieces(Model(looking, {"x": BITS}, {"clusters": 2, **arguments}, {})) is None
    assert pieces(Model(numbered, {"x": BITS}, {"clusters": 2}, {})) is None
