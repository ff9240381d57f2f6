"""New data of binomials, whose samplers want plain integers, and new rows of an inner plate."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from scipy.special import logsumexp
from scipy.stats import poisson

from ppl_models import fit, generate
from ppl_models.data import Bits, Counts, Reals
from ppl_models.inference.em.collapse import no_mode
from ppl_models.inference.problem import Problem
from ppl_models.posterior.simulate.predictive import draw_data
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope


def problem(program, data):
    return Problem(*read_program(program, read_data(program, data), {}, {}, "float64"))


def trials(k: Annotated[Any, Counts] = None, n: Annotated[Any, Counts] = None):
    """Numbers of trials are data, int32 as they are read."""
    mean = numpyro.sample("mean", dist.Beta(1.0, 1.0))
    with numpyro.plate("row", len(n)):
        numpyro.sample("k", dist.BetaBinomial(5 * mean, 5 * (1 - mean), n), obs=k)


def test_binomials_are_drawn_in_double_precision():
    with scope("float64"):
        read = problem(trials, {"k": [1, 2, 0], "n": [3, 9, 40]})
        drawn = draw_data(read, {"mean": np.full(50, 0.5)}, random.key(0), 50)["k"]
    assert (drawn >= 0).all()
    assert (drawn <= [3, 9, 40]).all()
    assert drawn[:, 2].std() > 3


def screening(t: Annotated[Any, Bits] = None):
    """Three tests a patient, in an inner plate."""
    ill = numpyro.sample("ill", dist.Beta(2.0, 2.0))
    sure = numpyro.sample("sure", dist.Beta(5.0, 2.0))
    with numpyro.plate("patient", t.shape[0], dim=-2):
        d = numpyro.sample("d", dist.Bernoulli(ill), infer={"enumerate": "parallel"})
        with numpyro.plate("test", 3, dim=-1):
            numpyro.sample("t", dist.Bernoulli(jnp.where(d == 1, sure, 0.0)), obs=t)


def test_more_rows_of_an_inner_plate_than_were_fitted():
    data = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0]] * 5)
    tree = fit(screening, data, method="em", seed=0, starts=1, predictive=0)
    made = generate(tree, 100, seed=0)["t"]
    assert made.shape == (100, 3)
    assert made.dims[0] == "patient"
    some = made.values.any(1).mean()  # nobody who is well has a positive test
    assert 0.3 < some < 0.7


def two_switches(y: Annotated[Any, Counts] = None):
    """Two times of change: more combinations than rows of a plate could have."""
    rate = numpyro.sample("rate", dist.Exponential(0.2).expand([3]).to_event(1))
    support = dist.DiscreteUniform(0, len(y) - 1)
    first = numpyro.sample("first", support, infer={"enumerate": "parallel"})
    second = numpyro.sample("second", support, infer={"enumerate": "parallel"})
    t = jnp.arange(len(y))
    low, high = jnp.minimum(first, second), jnp.maximum(first, second)
    with numpyro.plate("time", len(y)):
        numpyro.sample("y", dist.Poisson(rate[(t >= low).astype(int) + (t >= high)]), obs=y)


def test_two_switches_by_brute_force():
    y = np.random.default_rng(0).poisson(np.repeat([2.0, 9.0, 4.0], 12))
    rate, t, terms = np.array([2.0, 8.0, 4.0]), np.arange(36), []
    for i in range(36):
        for j in range(36):
            part = (t >= min(i, j)).astype(int) + (t >= max(i, j))
            terms.append(poisson.logpmf(y, rate[part]).sum() - 2 * np.log(36))
    with scope("float64"):
        read = problem(two_switches, y)
        ours = logsumexp(np.asarray(read.model.logits({"rate": jnp.asarray(rate)}, read.structure)))
    np.testing.assert_allclose(ours, logsumexp(terms), rtol=1e-10)


def correlated(x: Annotated[Any, Reals] = None):
    """A Cholesky factor of correlations: its rows are of unit length."""
    corr = numpyro.sample("corr", dist.LKJCholesky(2, 2.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.MultivariateNormal(jnp.zeros(2), scale_tril=corr), obs=x)


def test_a_prior_of_correlations_has_a_mode():
    with scope("float64"):
        read = problem(correlated, np.random.default_rng(0).normal(size=(20, 2)))
        values, inside = (read.structure.initial(random.key(n)) for n in (0, 1))
        _, unbounded = no_mode(read.model, values, inside, structure=read.structure)
    assert not unbounded
