"""Every family: its log-density, by every road, and its draws."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models import distributions
from ppl_models.distributions import ExponentialFamily
from ppl_models.distributions.hmm.general_emission import GeneralEmission

DRAWS = 20_000


def _leaves(base: type) -> set[type]:
    below = [c for c in base.__subclasses__() if c.__module__.startswith("ppl_models.")]
    return set().union(*map(_leaves, below)) if below else {base}


def test_every_family_has_a_row_in_the_table(cases):
    for module in pkgutil.walk_packages(distributions.__path__, f"{distributions.__name__}."):
        importlib.import_module(module.name)
    # any of NumPyro's distributions has its oracle in test_hidden_numpyro.py
    actual = _leaves(ExponentialFamily) - {GeneralEmission}
    hiding = {f for f in actual if f.latent or f.draws_hidden or f.last_is_noise}
    assert actual - hiding == {case.family for case in cases}
    assert all(getattr(distributions, f.__name__) is f for f in actual)
    # families that hide something themselves, or have noise beside the components of another one,
    # have an oracle, and a file, of their own
    for family in hiding:
        module = family.__module__.rpartition(".")[2]
        assert Path(__file__).with_name(f"test_{module}.py").exists(), family.__name__


def _direction(value, seed):
    drawn = np.random.default_rng(seed).normal(size=value.shape)
    square = value.ndim >= 2 and value.shape[-1] == value.shape[-2]
    return drawn + drawn.swapaxes(-1, -2) if square else drawn  # a covariance stays symmetric


def _slopes(function, point, direction, step=1e-6):
    """Slope of a function along a direction, by its gradient and by differences."""

    def along(t):
        return function(jax.tree.map(lambda v, d: v + t * d, point, direction))

    return jax.jacrev(along)(0.0), (along(step) - along(-step)) / (2 * step)


def _look(case, rows):
    """A function that computes everything that is looked at, in one compilation."""
    value = getattr(case, rows)
    chosen = np.arange(len(value)) % 3
    direction = {n: _direction(v, 3) for n, v in case.parameters.items()}

    def heights(parameters):  # of the contraction, and of the textbook formula
        by_row = {n: v if case.shared(n) else v[chosen] for n, v in parameters.items()}
        contraction = case.enumerated(parameters).log_prob(value).sum()
        return jnp.stack([contraction, case.build(by_row).log_prob(value).sum()])

    def look(parameters, stacked, traced, emission):
        enumerated, alone = case.enumerated(parameters), case.build(case.component(1))
        actual = {
            "known data": enumerated.log_prob(value),
            "traced data": enumerated.log_prob(traced),
            "textbook": enumerated.pointwise(traced),
            "a component a row": case.by_row(len(value)).log_prob(value),
            "passed": emission.log_prob(traced),
            "slopes": _slopes(heights, parameters, direction),
        }
        if rows == "data":  # how the batch lies is the same with gaps
            actual |= {
                "one row": enumerated.log_prob(value[:1])[:, 0],
                "no batch": alone.log_prob(value),
                "neither": alone.log_prob(value[0]),
                "vmap": jax.vmap(lambda p: case.enumerated(p).log_prob(value))(stacked),
            }
        if case.continuous and rows == "data":
            data_direction = np.random.default_rng(0).normal(size=value.shape)
            actual["data slopes"] = _slopes(
                lambda x: enumerated.log_prob(x).sum(), value, data_direction
            )
        return actual

    return look


@pytest.fixture(scope="module")
def looked():
    """``looked(case, rows)``: everything, computed once."""
    made = {}

    def of(case, rows):
        if (case.name, rows) not in made:
            stacked = {n: np.stack([v, v]) for n, v in case.parameters.items()}
            look = jax.jit(_look(case, rows))
            actual = look(case.parameters, stacked, getattr(case, rows), case.enumerated())
            made[case.name, rows] = jax.tree.map(np.asarray, actual)
        return made[case.name, rows]

    return of


@pytest.mark.parametrize("rows", ["data", "gaps"])
def test_log_density_equals_the_other_program_by_every_road(case, rows, looked):
    expected, actual = case.expected(getattr(case, rows)), looked(case, rows)
    index = np.arange(expected.shape[1])
    wanted = {
        "known data": expected,
        "traced data": expected,
        "textbook": expected,
        "passed": expected,
        "a component a row": expected[index % 3, index],
        "one row": expected[:, 0],
        "no batch": expected[1],
        "neither": expected[1, 0],
        "vmap": np.stack([expected] * 2),
    }
    assert len(set(wanted) & set(actual)) == (9 if rows == "data" else 5)
    for road in set(wanted) & set(actual):
        value = wanted[road]
        assert actual[road].shape == value.shape, road
        np.testing.assert_allclose(actual[road], value, rtol=1e-10, atol=1e-10, err_msg=road)


@pytest.mark.parametrize("rows", ["data", "gaps"])
def test_gradients_equal_finite_differences(case, rows, looked):
    by_gradient, by_difference = looked(case, rows)["slopes"]
    np.testing.assert_allclose(by_gradient, by_difference, rtol=1e-6, atol=1e-6)
    if case.continuous and rows == "data":
        by_gradient, by_difference = looked(case, rows)["data slopes"]
        np.testing.assert_allclose(by_gradient, by_difference, rtol=1e-6)


def test_log_density_without_any_compilation(cases):
    case = next(c for c in cases if c.name == "diagonal")
    for rows in (case.data, case.gaps):
        log_densities = case.enumerated().log_prob(rows)
        np.testing.assert_allclose(log_densities, case.expected(rows), rtol=1e-10)


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
    if case.name in ("token chain", "graph chain"):
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
