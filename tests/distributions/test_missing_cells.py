"""Missing cells: summed out exactly, and drawn from their conditional distribution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

DRAWS = 8000


def test_a_row_without_any_cell_has_density_one(case):
    if not np.issubdtype(case.gaps.dtype, np.floating):
        pytest.skip("codes: a sequence's length is always known")
    value = np.full_like(case.gaps, np.nan)
    np.testing.assert_array_equal(case.enumerated().log_prob(value), 0)


def test_leaving_a_feature_out_is_marginalising_it(case):
    """Equal to the family without the feature, by its own code."""
    if not case.family.factorises or case.data.ndim == 1 or case.name == "categorical":
        assert case.name in (
            "univariate",
            "tied",
            "full",
            "axes",
            "poisson univariate",
            "token chain",
            "graph chain",
            "categorical",
        )
        pytest.skip("no feature drops out: against other programs in test_families.py")
    value = case.data.astype(float)
    value[:, 1] = np.nan
    selected = [0, 2]
    smaller = {n: v[:, selected] if v.shape[1:] == (3,) else v for n, v in case.parameters.items()}
    actual, expected = jax.jit(
        lambda: (
            case.enumerated().log_prob(value),
            case.enumerated(smaller).log_prob(case.data[:, selected]),
        )
    )()
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.fixture(scope="module")
def filled():
    """Fillings of every row under every component: ``(draw, component, row, ...)``."""
    made = {}

    def of(case):
        if case.name not in made:
            rows = len(case.gaps)
            each = {
                n: v if case.shared(n) else np.repeat(v[:, None], rows, 1)
                for n, v in case.parameters.items()
            }
            value = np.broadcast_to(case.gaps, (3, *case.gaps.shape))

            @jax.jit
            def draw(keys):
                emission = case.build(each)
                return jax.vmap(lambda key: emission.complete(key, jnp.asarray(value)))(keys)

            made[case.name] = np.asarray(draw(random.split(random.key(4), DRAWS)))
        return made[case.name]

    return of


def _missing(case):
    return np.isnan(case.gaps) if case.gaps.dtype.kind == "f" else case.gaps == -1


def test_observed_cells_stay_and_missing_ones_are_filled(case, filled):
    if case.complete:
        pytest.skip("a family that fills no cells")
    drawn, missing = filled(case), _missing(case)
    assert missing.any()
    np.testing.assert_array_equal(
        drawn[..., ~missing], np.broadcast_to(case.gaps[~missing], drawn[..., ~missing].shape)
    )
    cells = drawn[..., missing]
    assert np.isfinite(cells).all()
    if not case.continuous:
        np.testing.assert_array_equal(cells, np.round(cells))
        assert cells.min() >= 0


def test_fillings_have_the_conditional_distribution(case, filled):
    if case.complete:
        pytest.skip("a family that fills no cells")
    if case.name == "token chain":
        pytest.skip("against enumeration in test_token_chain.py")
    drawn = filled(case)
    for k in range(3):
        parameters = case.component(k)
        for n, row in enumerate(case.gaps):
            _assert_filling(case, parameters, np.atleast_1d(row), drawn[:, k, n])


def _assert_filling(case, parameters, row, drawn):
    drawn = drawn.reshape(DRAWS, -1)
    absent = np.isnan(row)
    if not absent.any():
        return
    if "covariance" in parameters or "axis_shape" in parameters:
        mean, covariance = _gaussian_conditional(parameters, row)
    else:
        mean, variance = _cell_moments(case, parameters)
        mean, covariance = mean[absent], np.diag(variance[absent])
    centred = drawn[:, absent] - mean
    assert (np.abs(centred.mean(0)) < 5 * np.sqrt(np.diag(covariance) / DRAWS)).all()
    products = centred[:, :, None] * centred[:, None, :]
    error = products.std(0) / np.sqrt(DRAWS)
    assert (np.abs(products.mean(0) - covariance) < 5 * error + 1e-9).all()


def _covariance(parameters):
    if "covariance" in parameters:
        return parameters["covariance"]
    axes = parameters.get("orientation", np.eye(len(parameters["loc"])))
    return parameters["scale"] ** 2 * axes @ np.diag(parameters["axis_shape"]) @ axes.T


def _gaussian_conditional(parameters, row):
    """The textbook formula, by NumPy."""
    absent, seen = np.isnan(row), ~np.isnan(row)
    loc, covariance = parameters["loc"], _covariance(parameters)
    gain = covariance[np.ix_(absent, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    mean = loc[absent] + gain @ (row[seen] - loc[seen])
    return mean, covariance[np.ix_(absent, absent)] - gain @ covariance[np.ix_(seen, absent)]


def _cell_moments(case, parameters):
    """Mean and variance of every cell, features being independent."""
    if "scale" in parameters:
        loc = np.atleast_1d(parameters["loc"])
        return loc, np.broadcast_to(parameters["scale"] ** 2, loc.shape)
    if case.name == "bernoulli":
        return parameters["probs"], parameters["probs"] * (1 - parameters["probs"])
    if case.name == "categorical":
        blocks = np.split(parameters["probs"], np.cumsum(case.static["levels"])[:-1])
        mean = np.array([p @ np.arange(len(p)) for p in blocks])
        square = np.array([p @ np.arange(len(p)) ** 2 for p in blocks])
        return mean, square - mean**2
    rate = np.atleast_1d(parameters["rate"])
    return rate, rate


def test_statistics_of_incomplete_gaussians_hold_expected_moments(cases):
    """Gaps enter at their conditional expectations, not at zero and not at the mean."""
    for case in (c for c in cases if c.name in ("tied", "full")):
        weights = np.random.default_rng(0).dirichlet(np.ones(3), len(case.gaps)).T
        actual = jax.jit(
            lambda case=case, weights=weights: case.build().expected_statistics(
                jnp.asarray(weights), jnp.asarray(case.gaps), missing=True, centre=jnp.zeros(3)
            )
        )()
        first, second = np.zeros((3, 3)), np.zeros((3, 3, 3))
        for k in range(3):
            for w, row in zip(weights[k], case.gaps, strict=True):
                mean, spread = row.copy(), np.zeros((3, 3))
                absent = np.isnan(row)
                if absent.any():
                    mean[absent], part = _gaussian_conditional(case.component(k), row)
                    spread[np.ix_(absent, absent)] = part
                first[k] += w * mean
                second[k] += w * (np.outer(mean, mean) + spread)
        np.testing.assert_allclose(actual["first"], first, rtol=1e-9)
        expected = second.sum(0) if case.name == "tied" else second
        np.testing.assert_allclose(actual["second"], expected, rtol=1e-9)
