"""Probabilities and rates of exactly zero: what is impossible stays so while the rest is learnt."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, generate, log_density
from ppl_models.data import Counts, Series
from ppl_models.distributions import HiddenMarkov
from ppl_models.errors import InputError
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model

LEFT_TO_RIGHT = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1.0]])


def gated(x: Annotated[Any, Counts] = None, *, rows=None):
    """Counts that are zero under one value of z, and Poisson under the other."""
    empty = numpyro.sample("empty", dist.Beta(1.0, 1.0))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Bernoulli(1 - empty), infer={"enumerate": "parallel"})
        return numpyro.sample("x", dist.Poisson(jnp.where(z == 1, rate, 0.0)), obs=x)


@pytest.mark.usefixtures("double_precision")
def test_a_rate_of_zero_is_the_zero_inflated_poisson():
    x = np.array([0, 0, 3, 1, 0, 5])
    model = Model(gated, {"x": x}, {}, {})
    structure = model.structure()
    values = {"empty": jnp.array(0.3), "rate": jnp.array(2.5)}
    prior = dist.Beta(1.0, 1.0).log_prob(0.3) + dist.Gamma(2.0, 0.5).log_prob(2.5)
    expected = prior + dist.ZeroInflatedPoisson(0.3, 2.5).log_prob(x).sum()
    look = jax.jit(jax.value_and_grad(lambda v: log_joint(model, structure, v)))
    actual, slopes = look(values)
    np.testing.assert_allclose(actual, expected, rtol=1e-10)
    direct = jax.jit(
        jax.grad(
            lambda v: (
                dist.Gamma(2.0, 0.5).log_prob(v["rate"])
                + dist.ZeroInflatedPoisson(v["empty"], v["rate"]).log_prob(x).sum()
            )
        )
    )(values)
    for name, slope in slopes.items():
        np.testing.assert_allclose(slope, direct[name], rtol=1e-8)


def test_counts_with_a_component_of_zeros_are_fitted():
    rng = np.random.default_rng(10)
    x = rng.poisson(4.0, 200) * (rng.random(200) > 0.4)
    tree = fit(gated, x, method="em", seed=0, predictive=0)
    empty, rate = (tree["posterior"][n].values.item() for n in ("empty", "rate"))
    assert abs(empty - 0.4) < 0.1 and abs(rate - 4) < 0.5
    expected = dist.ZeroInflatedPoisson(empty, rate).log_prob(np.array([0, 4]))
    np.testing.assert_allclose(log_density(tree, [0, 4]), expected, rtol=1e-5)
    assert abs((generate(tree, 2000, seed=1)["x"] == 0).mean() - (x == 0).mean()) < 0.06


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(5)
    actual = []
    for _ in range(12):
        path = np.repeat([0, 1, 2], rng.integers(4, 9, 3))
        actual.append(np.array([0, 4, 8])[path] + 0.7 * rng.normal(size=len(path)))
    return actual


# (lists are taken where arrays are: the refusal below reads one)
@pytest.mark.long
def test_a_list_of_concentrations_is_as_good_as_an_array(sequences):
    tables = []
    for table in (1 + LEFT_TO_RIGHT, (1 + LEFT_TO_RIGHT).tolist()):
        tree = fit(
            "hidden_markov", sequences, method="em", seed=0, states=3, starts=2, predictive=0,
            concentration=table,
        )  # fmt: skip
        tables.append(tree["posterior"]["transition"].values[0, 0])
    np.testing.assert_array_equal(*tables)


def left_to_right(x: Annotated[Any, Series] = None, *, sequences=None, positions=None):
    """Each state is followed by itself or the next, and only these probabilities are drawn."""
    if x is not None:
        sequences, positions = jnp.shape(x)[:2]
    stay = numpyro.sample("stay", dist.Beta(1.0, 1.0).expand((2,)).to_event(1))
    loc = numpyro.sample("loc", dist.Normal(4.0, 5.0).expand((3,)).to_event(1))
    table = jnp.diag(jnp.append(stay, 1.0)) + jnp.diag(1 - stay, 1)
    emission = dist.Normal(loc[:, None], 0.7 * jnp.ones((3, 1))).to_event(1)
    with numpyro.plate("sequence", sequences):
        chain = HiddenMarkov(jnp.array([1.0, 0.0, 0.0]), table, emission, positions=positions)
        return numpyro.sample("x", chain, obs=x)


def test_a_concentration_of_zero_names_two_ways_out(sequences):
    zeros = {"concentration": LEFT_TO_RIGHT.tolist()}
    with pytest.raises(InputError, match="hold the site fixed .* draws only the others"):
        fit("hidden_markov", sequences, method="em", seed=0, states=3, **zeros)
    held = LEFT_TO_RIGHT / LEFT_TO_RIGHT.sum(1, keepdims=True)
    fixed = {"transition": held, "initial": [1.0, 0.0, 0.0]}
    tree = fit("hidden_markov", sequences, method="em", seed=0, states=3, predictive=0, fixed=fixed)
    loc = tree["posterior"]["loc"].values.ravel()
    np.testing.assert_allclose(loc, [0, 4, 8], atol=0.4)


# (the other way out, which the message above names; EM of a chain of a user's own that has no
# statistics: inference/test_chains.py)
@pytest.mark.long
def test_a_program_that_draws_only_what_is_possible_is_fitted(sequences):
    tree = fit(left_to_right, sequences, method="em", seed=0, predictive=0)
    loc = tree["posterior"]["loc"].values.ravel()
    np.testing.assert_allclose(loc, [0, 4, 8], atol=0.4)
    lengths = np.array([[6, 6]]) - 1  # steps in a state, on average
    np.testing.assert_allclose(tree["posterior"]["stay"][0], lengths / (lengths + 1), atol=0.06)
