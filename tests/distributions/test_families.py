"""Every family: its log-density, by every road, and its draws."""

from __future__ import annotations

import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models import distributions
from ppl_models.distributions import ExponentialFamily

DRAWS = 20_000


def _leaves(base: type) -> set[type]:
    below = base.__subclasses__()
    return set().union(*map(_leaves, below)) if below else {base}


def test_every_family_has_a_row_in_the_table(cases):
    for module in pkgutil.iter_modules(distributions.__path__):
        importlib.import_module(f"ppl_models.distributions.{module.name}")
    found = {f for f in _leaves(ExponentialFamily) if f.__module__.startswith("ppl_models.")}
    assert found == {case.family for case in cases}
    assert {f.__name__ for f in found} <= set(distributions.__all__)


@pytest.mark.parametrize("rows", ["data", "gaps"])
def test_enumerated_log_density_equals_the_other_program(case, rows):
    value = getattr(case, rows)
    emission = case.enumerated()
    expected = case.expected(value)
    found = emission.log_prob(value)
    assert found.shape == expected.shape == (len(emission.batch_shape) + 1, len(value))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    traced = jax.jit(lambda v: case.enumerated().log_prob(v))(value)
    np.testing.assert_allclose(traced, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", ["data", "gaps"])
def test_textbook_formula_equals_the_contraction(case, rows):
    value = jnp.asarray(getattr(case, rows))
    np.testing.assert_allclose(
        jax.jit(lambda v: case.enumerated().pointwise(v))(value), case.expected(np.asarray(value)),
        rtol=1e-10, atol=1e-10,
    )


def test_one_component_a_row_one_row_and_no_batch(case):
    expected, rows = case.expected(case.data), np.arange(len(case.data))
    by_row = case.by_row(len(rows)).log_prob(case.data)
    np.testing.assert_allclose(by_row, expected[rows % 3, rows], rtol=1e-10)
    np.testing.assert_allclose(
        case.enumerated().log_prob(case.data[:1])[:, 0], expected[:, 0], rtol=1e-10
    )
    alone = case.build(case.component(1))
    np.testing.assert_allclose(alone.log_prob(case.data), expected[1], rtol=1e-10)
    np.testing.assert_allclose(alone.log_prob(case.data[0]), expected[1, 0], rtol=1e-10)


def test_vmap_over_draws_and_jit_of_the_distribution_itself(case):
    stacked = {n: np.stack([v, v]) for n, v in case.parameters.items()}
    found = jax.vmap(lambda p: case.enumerated(p).log_prob(case.data))(stacked)
    np.testing.assert_allclose(found, np.stack([case.expected(case.data)] * 2), rtol=1e-10)
    passed = jax.jit(lambda d, v: d.log_prob(v))(case.enumerated(), case.data)
    np.testing.assert_allclose(passed, case.expected(case.data), rtol=1e-10)


def _direction(value, seed):
    drawn = np.random.default_rng(seed).normal(size=value.shape)
    square = value.ndim >= 2 and value.shape[-1] == value.shape[-2]
    return drawn + drawn.swapaxes(-1, -2) if square else drawn  # a covariance stays symmetric


@pytest.mark.parametrize("shape", ["enumerated", "by row"])
@pytest.mark.parametrize("rows", ["data", "gaps"])
def test_gradients_equal_finite_differences(case, rows, shape):
    value = jnp.asarray(getattr(case, rows))
    chosen = np.arange(len(value)) % 3

    @jax.jit
    def total(parameters):
        if shape == "enumerated":
            return case.enumerated(parameters).log_prob(value).sum()
        by_row = {n: v if case.shared(n) else v[chosen] for n, v in parameters.items()}
        return case.build(by_row).log_prob(value).sum()

    direction = {n: _direction(v, 3) for n, v in case.parameters.items()}
    slope = sum(
        (g * direction[n]).sum() for n, g in jax.jit(jax.grad(total))(case.parameters).items()
    )
    step = 1e-6
    ahead, behind = (
        total({n: v + s * direction[n] for n, v in case.parameters.items()}) for s in (step, -step)
    )
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)


def test_gradient_with_respect_to_real_data(case):
    if not case.continuous:
        assert case.data.dtype.kind in "iu"
        return
    total = jax.jit(lambda x: case.enumerated().log_prob(x).sum())
    direction = np.random.default_rng(0).normal(size=case.data.shape)
    slope = (jax.jit(jax.grad(total))(case.data) * direction).sum()
    ahead, behind = (total(case.data + s * direction) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-6)


def test_draws_have_the_shapes_the_support_and_the_dtype_of_data(case):
    emission = case.enumerated()
    drawn = emission.sample(random.key(0), (4, 2))
    assert drawn.shape == (4, 2, *emission.batch_shape, *emission.event_shape)
    assert drawn.shape[-1:] == case.data.shape[-1:] or emission.event_shape == ()
    assert bool(emission.support(drawn).all())
    assert drawn.dtype.kind == case.data.dtype.kind


def test_draws_have_the_moments(case):
    emission = case.build()
    drawn = np.asarray(emission.sample(random.key(1), (DRAWS,)))
    if not hasattr(case.family, "mean") or case.name == "token chain":
        _assert_frequencies(case, drawn)
        return
    mean, variance = np.asarray(emission.mean), np.asarray(emission.variance)
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(variance / DRAWS)).all()
    squares = (drawn - mean) ** 2
    assert (np.abs(squares.mean(0) - variance) < 5 * squares.std(0) / np.sqrt(DRAWS)).all()
    if "covariance" in case.parameters:
        products = (drawn - mean)[..., :, None] * (drawn - mean)[..., None, :]
        error = products.std(0) / np.sqrt(DRAWS)
        assert (np.abs(products.mean(0) - case.parameters["covariance"]) < 5 * error).all()


def _assert_frequencies(case, drawn):
    """Every sequence turns up as often as its probability says."""
    for k in range(drawn.shape[1]):
        rows, counts = np.unique(drawn[:, k], axis=0, return_counts=True)
        probability = np.exp([case.log_density(case.component(k), row) for row in rows])
        error = np.sqrt(probability * (1 - probability) / DRAWS)
        assert (np.abs(counts / DRAWS - probability) < 5 * error + 2 / DRAWS).all()
        assert probability.sum() > 0.99


def test_parameters_outside_their_space_are_refused_when_validation_is_on(case):
    name = "scale" if "scale" in case.parameters else next(reversed(case.parameters))
    bad = {**case.parameters, name: -np.abs(case.parameters[name])}
    with pytest.raises(ValueError, match=name):
        case.family(**bad, **case.static, validate_args=True)
