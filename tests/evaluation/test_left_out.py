"""Rows left out of data that cannot be cut: scores of folds, and the density without them."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from jax import random
from scipy.special import logsumexp

from ppl_models.data import Categories, Reals
from ppl_models.errors import UnsupportedError
from ppl_models.evaluation.left_out import scores_of_fold, without_rows
from ppl_models.inference.problem import Problem
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

SHIFT = np.array([0.0, 5.0, -3.0, 10.0, 2.0, 7.0])


def problem(program, data, **arguments):
    observed = read_data(program, data, arguments=arguments)
    return Problem(*read_program(program, observed, arguments, {}, "float64"))


def in_places(x: Annotated[Any, Reals] = None):
    """Rows whose means are known by their places."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", 6):
        numpyro.sample("x", dist.Normal(mu + SHIFT, 1.0), obs=x)


def test_a_fold_is_scored_by_the_posterior_without_it():
    x = SHIFT + np.array([1.0, 0.2, -0.5, 0.9, 0.1, 2.5])
    rows, selected = np.array([1, 5]), np.array([0, 2, 3, 4])
    options = {"chains": 1, "warmup": 200, "draws": 2000}
    scores = scores_of_fold(problem(in_places, x), rows, "nuts", options, random.key(0))
    variance = 1 / (1 / 100 + len(selected))
    mean = variance * (x - SHIFT)[selected].sum()
    predictive = scipy.stats.norm(mean + SHIFT[rows], np.sqrt(1 + variance))
    np.testing.assert_allclose(scores, predictive.logpdf(x[rows]), atol=0.05)  # 500 independent


def visits(
    y: Annotated[Any, Reals] = None,
    color: Annotated[Any, Categories] = None,
    who: Annotated[Any, Categories] = None,
    *,
    people,
):
    """A line a visit, numbers and colours; persons of two kinds."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("kind", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
        probs = numpyro.sample("probs", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("person", people):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
    with numpyro.plate("visit", len(who)):
        numpyro.sample("y", dist.Normal(loc[z[who]], 1.0), obs=y)
        numpyro.sample("color", dist.Categorical(probs[z[who]]), obs=color)


def test_visits_of_a_person_left_out_say_nothing():
    generator = np.random.default_rng(0)
    data = {
        "y": generator.normal(size=12),
        "color": np.r_[generator.integers(0, 3, 9), 0, 1, 2],
        "who": np.r_[generator.integers(0, 4, 8), 0, 1, 2, 3],
    }
    complete = problem(visits, data, people=4)
    part = without_rows(complete.model, complete.structure, np.array([1, 3]))
    with scope("float64"):
        values = complete.structure.initial(random.key(0))
        before, after = (
            logsumexp(np.asarray(m.logits(values, complete.structure)), axis=0)
            for m in (complete.model, part)
        )
    np.testing.assert_allclose(after[[0, 2]], before[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(after[[1, 3]], 0.0, atol=1e-6)
    assert (np.abs(before[[1, 3]]) > 1).all()


def logs(x: Annotated[Any, Reals] = None):
    """Observes what it computes."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", 6):
        numpyro.sample("log_x", dist.Normal(mu + SHIFT, 1.0), obs=jnp.log(x))


def test_what_is_computed_is_not_left_out():
    read = problem(logs, np.arange(1.0, 7.0))
    with pytest.raises(UnsupportedError, match="site 'log_x' observes what the program computes"):
        without_rows(read.model, read.structure, np.array([0]))
