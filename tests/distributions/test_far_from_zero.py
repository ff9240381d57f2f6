"""Data at a million with a spread of one: nothing may cancel away, in either precision."""

from __future__ import annotations

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


def _examine(case, parameters, value, gaps=False):
    """Log-densities, expected log-densities and maxima."""
    value = jnp.asarray(value)
    if gaps:
        value = jnp.where(jnp.isnan(jnp.asarray(case.gaps)), jnp.nan, value).astype(value.dtype)
    dtype = value.dtype
    emission = case.build({n: jnp.asarray(v) for n, v in parameters.items()})
    weights = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(3), len(value)).T, dtype)
    centre = emission.centre(value)
    statistics = emission.expected_statistics(weights, value, missing=gaps, centre=centre)
    density = emission.expected_log_density(statistics, centre)
    enumerated = case.enumerated({n: jnp.asarray(v) for n, v in parameters.items()})
    return (enumerated.log_prob(value), density, emission.maximum_likelihood(statistics, centre))


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_double_precision_equals_the_shifted_problem(case, gaps):
    if not case.continuous:
        assert "loc" not in case.parameters
        return
    near = jax.jit(lambda: _examine(case, *_shifted(case, 0.0), gaps))()
    far = jax.jit(lambda: _examine(case, *_shifted(case, FAR), gaps))()
    np.testing.assert_allclose(far[0], near[0], rtol=1e-9)
    if gaps and not case.family.factorises:
        return
    np.testing.assert_allclose(far[1], near[1], rtol=1e-9)
    np.testing.assert_allclose(far[2]["loc"] - FAR, near[2]["loc"], atol=1e-9)
    scatter = "covariance" if "covariance" in near[2] else "scale"
    np.testing.assert_allclose(far[2][scatter], near[2][scatter], rtol=1e-9)


def test_single_precision_is_close_to_double_on_the_same_numbers(case):
    if not case.continuous:
        return
    parameters, value = _shifted(case, FAR, np.float32)
    with jax.enable_x64(False):
        single = jax.jit(lambda: _examine(case, parameters, value))()
        assert single[0].dtype == single[1].dtype == jnp.float32
        single = jax.tree.map(np.asarray, single)
    doubled = {n: v.astype(np.float64) for n, v in parameters.items()}
    double = jax.jit(lambda: _examine(case, doubled, value.astype(np.float64)))()
    np.testing.assert_allclose(single[0], double[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(single[1], double[1], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(single[2]["loc"], double[2]["loc"], atol=GRAIN)
    scatter = "covariance" if "covariance" in single[2] else "scale"
    np.testing.assert_allclose(single[2][scatter], double[2][scatter], rtol=1e-4, atol=1e-4)


def test_single_precision_textbook_formula_too(case):
    if not case.continuous:
        return
    parameters, value = _shifted(case, FAR, np.float32)
    with jax.enable_x64(False):
        emission = case.enumerated({n: jnp.asarray(v) for n, v in parameters.items()})
        single = np.asarray(jax.jit(emission.pointwise)(jnp.asarray(value)))
        assert single.dtype == np.float32
    doubled = {n: v.astype(np.float64) for n, v in parameters.items()}
    double = case.enumerated(doubled).log_prob(value.astype(np.float64))
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-4)


def test_large_counts_in_double_precision(cases):
    case = next(c for c in cases if c.name == "poisson")
    rate = np.array([[1e6, 1e5, 1e4]])
    value = np.array([[1_000_500, 99_800, 10_020], [999_000, 100_100, 9_950]])
    found = case.build({"rate": rate[:, None]}).log_prob(value)
    expected = [case.log_density({"rate": rate[0]}, row) for row in value]
    np.testing.assert_allclose(found[0], expected, rtol=1e-7)
