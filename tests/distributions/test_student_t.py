"""Vectors of Student's t: densities by SciPy, statistics by automatic derivatives, conditionals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import integrate, stats
from scipy.special import gammaln

from ppl_models.distributions.exponential.student_t import (
    DrawnPrecisions,
    FullStudentT,
)
from ppl_models.distributions.priors.degrees_of_freedom import FreedomConditional

_g = np.random.default_rng(2)
LOC = _g.normal(0, 2, (3, 2))
_root = _g.normal(size=(3, 2, 2))
SCALE = _root @ _root.swapaxes(1, 2) + 0.5 * np.eye(2)
DF = np.array([0.8, 3.0, 30.0])
X = _g.normal(0, 3, (7, 2))
GAPS = X.copy()
GAPS[[0, 2, 3, 3], [1, 0, 0, 1]] = np.nan
WEIGHTS = _g.uniform(size=(3, 7))
CENTRE = jnp.array([0.4, -0.3])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def _family(parameters=(LOC, SCALE, DF)):
    return FullStudentT(*map(jnp.asarray, parameters), validate_args=False)


def _expected(rows):
    actual = np.zeros((3, len(rows)))
    for k, n in np.ndindex(actual.shape):
        seen = ~np.isnan(rows[n])
        if seen.any():
            part = SCALE[k][np.ix_(seen, seen)]
            known = stats.multivariate_t(LOC[k][seen], part, df=DF[k])
            actual[k, n] = known.logpdf(rows[n][seen])
    return actual


def _all_of(rows, missing):
    """Densities by every road, and the statistics' slopes beside those of the density itself."""
    value, parameters = jnp.asarray(rows), (LOC, SCALE, DF)

    @jax.jit
    def look(parameters):
        family = _family(parameters)
        arguments = {"missing": missing, "centre": CENTRE}
        prepared = family.prepare(value, **arguments)
        logits, hidden = family.infer_latents(prepared, **arguments)
        own = family.prepared_statistics(WEIGHTS, prepared, **arguments)
        passed = family.prepared_statistics(WEIGHTS, hidden, **arguments)

        def of_rows(parameters):
            return (WEIGHTS * _family(parameters).contract(value, **arguments)).sum()

        def of_statistics(parameters):
            return _family(parameters).expected_log_density(own, CENTRE).sum()

        slopes = jax.grad(of_rows)(parameters), jax.grad(of_statistics)(parameters)
        wide = FullStudentT(*(p[:, None] for p in parameters), validate_args=False)
        return (
            {
                "contraction": family.contract(value, **arguments),
                "beside the precisions": logits,
                "textbook": wide.pointwise(value),
                "any": wide.log_prob(value),
            },
            slopes,
            own,
            passed,
        )

    return look(tuple(map(jnp.asarray, parameters)))


@pytest.fixture(scope="module")
def looked():
    with jax.enable_x64(True):
        return {False: _all_of(X, False), True: _all_of(GAPS, True)}


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "gaps"])
def test_densities_are_scipys(looked, missing):
    expected = _expected(GAPS if missing else X)
    for road, actual in looked[missing][0].items():
        np.testing.assert_allclose(actual, expected, rtol=1e-10, err_msg=road)


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "gaps"])
def test_slope_of_the_statistics_is_that_of_the_density(looked, missing):
    """Fisher's identity: precisions and gaps expected at the parameters give the same slope."""
    _, (rows, statistics), own, passed = looked[missing]
    for name, one, other in zip(("loc", "scale", "df"), rows, statistics, strict=True):
        symmetric = [v + v.swapaxes(-1, -2) if v.ndim == 3 else v for v in (one, other)]
        np.testing.assert_allclose(*symmetric, rtol=1e-9, err_msg=name)
    assert own.keys() == passed.keys()
    for name in own:
        np.testing.assert_allclose(own[name], passed[name], rtol=1e-12)


def test_degrees_of_freedom_given_precisions():
    """Mode and draws against the density on a grid."""
    rows, excess, a, b = 40.0, -52.0, 2.0, 0.1

    def log_density(df):
        h = df / 2
        known = rows * (h * np.log(h) - gammaln(h)) + h * excess
        return known + (a - 1) * np.log(df) - b * df

    grid = np.linspace(1e-3, 40, 200_001)
    height = log_density(grid)
    arrays = [jnp.full(2000, v) for v in (rows, excess, a, b, 2.0)]
    chains = FreedomConditional(*arrays)
    np.testing.assert_allclose(chains.mode()[0], grid[height.argmax()], atol=3e-4)

    @jax.jit
    def drawn(key):
        def step(current, key):
            return chains._replace(current=current).sample(key), None

        return jax.lax.scan(step, chains.current, random.split(key, 15))[0]

    actual = np.asarray(drawn(random.key(0)))
    proportion = np.exp(height - height.max())
    cumulative = integrate.cumulative_trapezoid(proportion, grid, initial=0)
    cumulative /= cumulative[-1]
    assert stats.kstest(actual, lambda v: np.interp(v, grid, cumulative)).pvalue > 1e-3


def test_draws_and_filled_gaps_have_the_conditional_distribution():
    """Of one component of three numbers, the others given the first; and draws as they come."""
    scale = np.array([[2.0, 1.2], [1.2, 1.5]])
    family = _family((np.array([1.0, -1.0]), scale, np.array(3.0)))
    rows = jnp.tile(jnp.array([4.0, jnp.nan]), (4000, 1))
    keys = random.split(random.key(1), 3)
    filled, drawn = jax.jit(lambda: (family.complete(keys[0], rows),
                                     family.sample(keys[1], (4000,))))()  # fmt: skip
    np.testing.assert_array_equal(filled[:, 0], 4.0)
    # Kotz and Nadarajah (2004): the conditional is Student's t with one more degree of freedom
    mean = -1 + 1.2 / 2 * 3
    variance = (3 + 9 / 2) / 4 * (1.5 - 1.2**2 / 2)
    known = stats.t(4, mean, np.sqrt(variance))
    assert stats.kstest(np.asarray(filled[:, 1]), known.cdf).pvalue > 1e-3
    # a sum of cells is Student's t too
    total = stats.t(3, 0, np.sqrt(scale.sum()))
    assert stats.kstest(np.asarray(drawn.sum(1)), total.cdf).pvalue > 1e-3


def test_precisions_are_drawn_from_their_posterior():
    family = _family((LOC[:1], SCALE[:1], np.array([3.0])))
    rows = np.tile([2.0, 1.0], (4000, 1))
    arguments = {"missing": False, "centre": CENTRE}

    @jax.jit
    def drawn(key):
        hidden = family.infer_latents(family.prepare(jnp.asarray(rows), **arguments), **arguments)[
            1
        ]
        return family.draw_hidden(key, hidden, jnp.zeros(4000, int), **arguments)[0]

    actual = drawn(random.key(0))
    assert isinstance(actual, DrawnPrecisions)
    shift = rows[0] - LOC[0]
    square = shift @ np.linalg.solve(SCALE[0], shift)
    known = stats.gamma((3 + 2) / 2, scale=2 / (3 + square))
    assert stats.kstest(np.asarray(actual.precision), known.cdf).pvalue > 1e-3


def test_components_without_rows_leave_no_trace():
    """As where fewer clusters are tried: of no width, they would make no numbers of all."""
    none = SCALE.copy()
    none[2] = 0
    weights = WEIGHTS * np.array([1.0, 1.0, 0.0])[:, None]
    arguments = {"missing": False, "centre": CENTRE}

    @jax.jit
    def actual():
        family = _family((LOC, none, DF))
        prepared = family.prepare(jnp.asarray(X), **arguments)
        return family.prepared_statistics(jnp.asarray(weights), prepared, **arguments)

    assert all(np.isfinite(value).all() for value in actual().values())
