"""Rows' continuous sites integrated out: against closed forms, quadrature and bare NumPyro."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro.infer.util import log_density
from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp

from ppl_models.data import Reals
from ppl_models.data.kinds import Observed
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.program.densities.local_integrals import (
    draw_locals,
    integrated_logits,
    mean_of_shifts,
)
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model
from ppl_models.program.reading import read_program
from ppl_models.program.runtime.precision import scope

ROWS = 12
DRAWS = 400
LOADINGS = np.array([[1.5, -1.0, 0.5], [0.3, 0.8, -0.4]])
NOISE = np.array([0.5, 0.4, 0.6])
COUNTS = np.array([0, 1, 2, 0, 5, 1, 3, 0, 9, 2, 1, 4])
NUMBERS = np.linspace(-2.0, 4.0, ROWS)


@pytest.fixture(autouse=True)
def _double_precision():
    with scope("float64"):
        yield


def factors(x=None):
    """Factor analysis of which a cell is missing."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0).expand([3]).to_event(1))
    with numpyro.plate("row", len(x)):
        f = numpyro.sample("f", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("x", dist.Normal(mu + f @ LOADINGS, NOISE).to_event(1), obs=x)


def clusters(x=None):
    """Rows about a level of their own, whose distribution and whose number of a kind are hidden."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("cluster", 2):
        m = numpyro.sample("m", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        u = numpyro.sample("u", dist.Normal(m[z], 0.7))
        numpyro.sample("x", dist.Normal(u, 0.4), obs=x)


def gamma_poisson(x=None):
    shape = numpyro.sample("shape", dist.Exponential(1.0))
    with numpyro.plate("row", len(x)):
        rate = numpyro.sample("rate", dist.Gamma(shape, 0.7))
        numpyro.sample("x", dist.Poisson(rate), obs=x)


def two_modes(x=None):
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(x)):
        u = numpyro.sample("u", dist.Normal(0.2, 1.0))
        numpyro.sample("x", dist.Normal(u**2, s), obs=x)


def kinked(x=None):
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(x)):
        u = numpyro.sample("u", dist.Laplace(0.0, 1.0))
        numpyro.sample("x", dist.Normal(u, s), obs=x)


def read(program, data):
    model = Model(program, {"x": data}, {}, {})
    return model, model.structure()


logits = jax.jit(integrated_logits, static_argnames=("structure",))


def quadrature(joint):
    """log ∫ p(u, x) du of every row."""
    bends = [-2, -1, -0.5, 0, 0.5, 1, 2]
    return np.log([quad(joint, -9, 9, args=(x,), points=bends, limit=400)[0] for x in NUMBERS])


def test_factor_scores_are_integrated_out_exactly_whatever_cells_are_missing():
    data = np.random.default_rng(0).normal(size=(ROWS, 3))
    data[3, 1] = np.nan
    model, structure = read(factors, data)
    mu = np.array([0.3, -0.2, 1.0])
    actual = np.asarray(logits(model, {"mu": jnp.asarray(mu)}, structure=structure))
    assert actual.shape == (1, 1, ROWS)  # one shift: exact
    covariance = LOADINGS.T @ LOADINGS + np.diag(NOISE**2)
    for row, cells in enumerate(~np.isnan(data)):
        normal = stats.multivariate_normal(mu[cells], covariance[np.ix_(cells, cells)])
        np.testing.assert_allclose(actual[0, 0, row], normal.logpdf(data[row, cells]), rtol=1e-12)


def test_a_site_of_groups_whose_members_are_an_inner_plate():
    """A group is a row, whose members are correlated by its site."""

    def groups(y: Annotated[Any, Reals] = None):
        with numpyro.plate("school", 4, dim=-2):
            theta = numpyro.sample("theta", dist.Normal(0.5, 0.8))
            with numpyro.plate("pupil", 3, dim=-1):
                numpyro.sample("y", dist.Normal(theta, 0.5), obs=y)

    data = np.random.default_rng(0).normal(size=(4, 3))
    observed = {"y": Observed(data, ("school", "pupil"), {}, {})}
    model, structure = read_program(groups, observed, {}, {}, "float64")
    assert structure.gaussian_locals
    normal = stats.multivariate_normal(np.full(3, 0.5), 0.64 + 0.25 * np.eye(3))
    np.testing.assert_allclose(model.logits({}, structure)[0], normal.logpdf(data), rtol=1e-12)
    theta = np.linspace(-1, 1, 4)[:, None]
    expected = stats.norm.logpdf(theta, 0.5, 0.8).sum() + stats.norm.logpdf(data, theta, 0.5).sum()
    sites = {"theta": jnp.asarray(theta)}
    actual = log_joint(model, structure.with_locals(), sites)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    program = marginal_program(Problem(model, structure))
    np.testing.assert_allclose(log_density(program, (), {}, sites)[0], expected, rtol=1e-12)


def test_a_site_that_depends_on_the_cluster_is_integrated_out_by_cluster():
    model, structure = read(clusters, NUMBERS)
    values = {"weights": jnp.array([0.3, 0.7]), "m": jnp.array([-1.0, 2.0])}
    marginal = np.log([0.3, 0.7])[:, None] + stats.norm.logpdf(
        NUMBERS, np.array([[-1.0], [2.0]]), np.hypot(0.7, 0.4)
    )
    np.testing.assert_allclose(model.logits(values, structure), marginal, rtol=1e-12)


def test_the_joint_density_with_such_a_site_is_that_of_bare_numpyro():
    """Methods that draw the rows' sites sum the assignment out of their density too."""
    model, structure = read(clusters, NUMBERS)
    u = np.random.default_rng(1).normal(size=ROWS)
    values = {"weights": jnp.array([0.3, 0.7]), "m": jnp.array([-1.0, 2.0]), "u": jnp.asarray(u)}
    rows = [
        np.log(weight) + stats.norm.logpdf(u, m, 0.7)
        for weight, m in zip((0.3, 0.7), (-1.0, 2.0), strict=True)
    ]
    prior = float(dist.Dirichlet(jnp.ones(2)).log_prob(values["weights"]))
    prior += stats.norm.logpdf([-1.0, 2.0], 0, 5).sum()
    expected = prior + (logsumexp(rows, axis=0) + stats.norm.logpdf(NUMBERS, u, 0.4)).sum()
    actual = log_joint(model, structure.with_locals(), values)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    program = marginal_program(Problem(model, structure))
    np.testing.assert_allclose(log_density(program, (), {}, values)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("program", "data", "values", "expected"),
    [
        (
            gamma_poisson,
            COUNTS,
            {"shape": 1.3},
            stats.nbinom.logpmf(COUNTS, 1.3, 0.7 / 1.7),
        ),
        (
            two_modes,
            NUMBERS,
            {"s": 0.5},
            quadrature(lambda u, x: stats.norm.pdf(u, 0.2, 1) * stats.norm.pdf(x, u * u, 0.5)),
        ),
        (
            kinked,
            NUMBERS,
            {"s": 0.6},
            quadrature(lambda u, x: stats.laplace.pdf(u) * stats.norm.pdf(x, u, 0.6)),
        ),
    ],
)
def test_other_sites_are_integrated_out_by_sampling_with_an_honest_error(
    program, data, values, expected
):
    model, structure = read(program, data)
    assert not structure.gaussian_locals
    sites = {n: jnp.array(v) for n, v in values.items()}
    by_shift = np.asarray(logits(model, sites, structure=structure))[:, 0]
    error = by_shift.std(0, ddof=1) / np.sqrt(len(by_shift))
    assert error.max() < 0.02
    actual = np.asarray(mean_of_shifts(by_shift))
    assert (np.abs(actual - expected) < 6 * error + 1e-6).all()


@pytest.mark.parametrize("exact", [True, False])
def test_draws_of_the_rows_sites_are_of_their_posterior(exact):
    model, structure = read(clusters, NUMBERS)
    structure = replace(structure, gaussian_locals=exact)
    values = {"weights": jnp.array([0.3, 0.7]), "m": jnp.array([-1.0, 2.0])}
    assignment = jnp.arange(ROWS) % 2
    draw = partial(draw_locals, model, values, structure, assignment)
    draws = np.asarray(
        jax.jit(lambda keys: jax.lax.map(draw, keys))(random.split(random.key(0), DRAWS))["u"]
    )
    precision = 1 / 0.7**2 + 1 / 0.4**2
    prior = np.where(np.arange(ROWS) % 2, 2.0, -1.0)
    mean = (prior / 0.7**2 + NUMBERS / 0.4**2) / precision
    sd = precision**-0.5
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * sd / np.sqrt(DRAWS))
    np.testing.assert_allclose(draws.std(0), sd, rtol=5 / np.sqrt(2 * DRAWS))
