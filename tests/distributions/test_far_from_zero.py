"""Data at a million with a spread of one: nothing may cancel away, in either precision."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

FAR = 1e6
#: float32 near a million is exact on multiples of 1/16
GRAIN = 1 / 16


def _rounded(value):
    return np.round(value / GRAIN) * GRAIN


def _shifted(case, shift, dtype=np.float64):
    """The family and data on the grain, both moved."""
    parameters = {
        n: np.asarray(_rounded(v) if n == "loc" else v, dtype) for n, v in case.parameters.items()
    }
    parameters["loc"] = (parameters["loc"] + dtype(shift)).astype(dtype)
    return parameters, (_rounded(case.data) + shift).astype(dtype)


def _examine(case, maximum_likelihood, gaps, parameters, value):
    """Log-densities by both roads, expected log-densities and maxima."""
    if gaps:
        value = jnp.where(np.isnan(case.gaps), jnp.nan, value).astype(value.dtype)
    weights = np.random.default_rng(0).dirichlet(np.ones(3), len(value)).T
    weights = jnp.asarray(weights, value.dtype)
    emission, enumerated = case.build(parameters), case.enumerated(parameters)
    centre = emission.centre(value)
    statistics = emission.expected_statistics(weights, value, missing=gaps, centre=centre)
    best = maximum_likelihood(emission, statistics, centre)
    return (
        enumerated.log_prob(value),
        enumerated.pointwise(value),
        emission.expected_log_density(statistics, centre),
        {n: getattr(best, n) for n in best.parameter_dims},
    )


@pytest.fixture(scope="module")
def examine(table):
    """``examine(case, gaps, parameters, value)``, compiled once a case."""
    made = {}

    def of(case, gaps, parameters, value):
        if (case.name, gaps) not in made:
            made[case.name, gaps] = jax.jit(partial(_examine, case, table.maximum_likelihood, gaps))
        return jax.tree.map(np.asarray, made[case.name, gaps](parameters, value))

    return of


def _scatter(parameters):
    return parameters["covariance" if "covariance" in parameters else "scale"]


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_double_precision_equals_the_shifted_problem(case, gaps, examine):
    if not case.continuous:
        assert "loc" not in case.parameters
        pytest.skip("no location that could be far from zero")
    near = examine(case, gaps, *_shifted(case, 0.0))
    far = examine(case, gaps, *_shifted(case, FAR))
    for actual, expected in zip(far[:2], near[:2], strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9)
    if gaps and not case.family.factorises:
        return
    np.testing.assert_allclose(far[2], near[2], rtol=1e-9)
    np.testing.assert_allclose(far[3]["loc"] - FAR, near[3]["loc"], atol=1e-9)
    np.testing.assert_allclose(_scatter(far[3]), _scatter(near[3]), rtol=1e-9)


def test_single_precision_is_close_to_double_on_the_same_numbers(case, examine):
    if not case.continuous:
        pytest.skip("no location that could be far from zero")
    parameters, value = _shifted(case, FAR, np.float32)
    with jax.enable_x64(False):
        single = examine(case, False, parameters, value)
    doubled = {n: v.astype(np.float64) for n, v in parameters.items()}
    double = examine(case, False, doubled, value.astype(np.float64))
    for actual, expected in zip(single[:3], double[:3], strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(single[3]["loc"], double[3]["loc"], atol=GRAIN)
    # the scatter is taken about the location, which single precision rounds to the grain
    rounding = (GRAIN / 2) ** 2
    np.testing.assert_allclose(_scatter(single[3]), _scatter(double[3]), rtol=1e-4, atol=rounding)


def test_large_counts_in_double_precision(cases):
    case = next(c for c in cases if c.name == "poisson")
    rate = np.array([[1e6, 1e5, 1e4]])
    value = np.array([[1_000_500, 99_800, 10_020], [999_000, 100_100, 9_950]])
    log_densities = case.build({"rate": rate[:, None]}).log_prob(value)
    expected = [case.log_density({"rate": rate[0]}, row) for row in value]
    np.testing.assert_allclose(log_densities[0], expected, rtol=1e-7)
