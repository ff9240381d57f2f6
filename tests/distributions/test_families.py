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
        jax.jit(lambda v: case.enumerated().pointwise(v))(value),
        case.expected(np.asarray(value)),
        rtol=1e-10,
        atol=1e-10,
    )


def test_one_component_a_row_one_row_and_no_batch(case):
    rows = np.arange(len(case.data))

    @jax.jit
    def everyway():
        alone = case.build(case.component(1))
        return (
            case.by_row(len(rows)).log_prob(case.data),
            case.enumerated().log_prob(case.data[:1])[:, 0],
            alone.log_prob(case.data),
            alone.log_prob(case.data[0]),
        )

    expected = case.expected(case.data)
    wanted = expected[rows % 3, rows], expected[:, 0], expected[1], expected[1, 0]
    for found, value in zip(everyway(), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-10)


def test_vmap_over_draws_and_jit_of_the_distribution_itself(case):
    stacked = {n: np.stack([v, v]) for n, v in case.parameters.items()}
    draws = jax.jit(jax.vmap(lambda p: case.enumerated(p).log_prob(case.data)))(stacked)
    np.testing.assert_allclose(draws, np.stack([case.expected(case.data)] * 2), rtol=1e-10)
    passed = jax.jit(lambda d, v: d.log_prob(v))(case.enumerated(), case.data)
    np.testing.assert_allclose(passed, case.expected(case.data), rtol=1e-10)


def _direction(value, seed):
    drawn = np.random.default_rng(seed).normal(size=value.shape)
    square = value.ndim >= 2 and value.shape[-1] == value.shape[-2]
    return drawn + drawn.swapaxes(-1, -2) if square else drawn  # a covariance stays symmetric


@pytest.mark.parametrize("rows", ["data", "gaps"])
def test_gradients_equal_finite_differences(case, rows):
    value = getattr(case, rows)
    chosen = np.arange(len(value)) % 3

    def total(parameters):  # of the contraction, and of the textbook formula
        by_row = {n: v if case.shared(n) else v[chosen] for n, v in parameters.items()}
        return jnp.stack(
            [
                case.enumerated(parameters).log_prob(value).sum(),
                case.build(by_row).log_prob(value).sum(),
            ]
        )

    direction = {n: _direction(v, 3) for n, v in case.parameters.items()}
    _assert_slope(total, case.parameters, direction)


def test_gradient_with_respect_to_real_data(case):
    if not case.continuous:
        assert case.data.dtype.kind in "iu"
        return
    direction = np.random.default_rng(0).normal(size=case.data.shape)
    _assert_slope(lambda x: case.enumerated().log_prob(x).sum(), case.data, direction)


def _assert_slope(function, point, direction, step=1e-6):
    @jax.jit
    def slopes(point):
        def along(t):
            return function(jax.tree.map(lambda v, d: v + t * d, point, direction))

        return jax.jacrev(along)(0.0), (along(step) - along(-step)) / (2 * step)

    by_gradient, by_difference = slopes(point)
    np.testing.assert_allclose(by_gradient, by_difference, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def draws(request):
    """Draws of every case's components, made once: ``(draw, component, ...)``."""
    made = {}

    def of(case):
        if case.name not in made:
            sample = jax.jit(lambda key: case.build().sample(key, (DRAWS,)))
            made[case.name] = np.asarray(sample(random.key(1)))
        return made[case.name]

    return of


def test_draws_have_the_shapes_the_support_and_the_dtype_of_data(case, draws):
    emission = case.enumerated()
    drawn = jax.eval_shape(lambda: emission.sample(random.key(0), (4, 2)))
    assert drawn.shape == (4, 2, *emission.batch_shape, *emission.event_shape)
    assert emission.event_shape == case.data.shape[1:]
    assert drawn.dtype.kind == case.data.dtype.kind
    assert bool(case.build().support(draws(case)).all())


def test_draws_have_the_moments(case, draws):
    emission, drawn = case.build(), draws(case)
    if case.name == "token chain":
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
