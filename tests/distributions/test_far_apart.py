"""Components thousands of scales apart in single precision, against double on those numbers."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl_models.distributions import (
    DiagonalGaussian,
    FullGaussian,
    SphericalGaussian,
    TiedGaussian,
    UnivariateGaussian,
)

ROWS = 60  #: of every component
SCALES = np.array([1.0, 1.0, 0.2, 2.0])
#: family, features, with gaps
SHAPES = {
    "univariate": (UnivariateGaussian, 0, False),
    "diagonal": (DiagonalGaussian, 6, False),
    "diagonal, gaps": (DiagonalGaussian, 6, True),
    "diagonal, few": (DiagonalGaussian, 2, False),
    "spherical": (SphericalGaussian, 6, False),
    "tied": (TiedGaussian, 3, False),
    "full": (FullGaussian, 3, False),
    "full, gaps": (FullGaussian, 3, True),
}


def _drawn(features: int, distance: float, gaps: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, their weights ``(component, row)`` and locations, all of them single numbers."""
    generator = np.random.default_rng(0)
    shape = (features,) if features else ()
    place = np.array([0.0, 1.0, 1.0, -2.0]).reshape(4, *[1] * len(shape))
    loc = distance * place * np.linspace(1, 1.5, features or 1)[: features or 1].reshape(shape)
    loc[2] += 1.5  # beside another: whose a row is depends on digits that must not be lost
    kind = np.repeat(np.arange(4), ROWS)
    x = loc[kind] + generator.normal(size=(4 * ROWS, *shape)) * SCALES[kind].reshape(
        -1, *[1] * len(shape)
    )
    if gaps:
        x[generator.random(x.shape) < 0.1] = np.nan
    weights = 0.98 * np.eye(4)[:, kind]
    weights[1, kind == 2] = weights[2, kind == 1] = 0.02
    return tuple(v.astype(np.float32) for v in (x, weights, loc))


def _parameters(family, loc: np.ndarray) -> dict[str, np.ndarray]:
    features = loc.shape[-1] if loc.ndim == 2 else 1
    if family in (UnivariateGaussian, SphericalGaussian):
        return {"loc": loc, "scale": SCALES}
    if family is DiagonalGaussian:
        return {"loc": loc, "scale": SCALES[:, None] * np.linspace(1, 1.3, features)}
    one = 0.6 + 0.4 * np.eye(features)
    covariance = one if family is TiedGaussian else SCALES[:, None, None] ** 2 * one
    return {"loc": loc, "covariance": covariance}


@pytest.fixture(scope="module")
def examine():
    """Compiled once a shape and precision, whatever the distances."""

    @partial(jax.jit, static_argnames=("family", "gaps"))
    def compute(parameters, x, weights, *, family, gaps):
        emission = family(**parameters, validate_args=False)
        centre = emission.centre(x)
        density = emission.contract(x, missing=gaps, centre=centre)
        slope = jax.grad(
            lambda p: (weights * family(**p, validate_args=False).contract(
                x, missing=gaps, centre=centre
            )).sum()
        )(parameters)  # fmt: skip
        statistics = emission.expected_statistics(weights, x, missing=gaps, centre=centre)
        spread = "covariance" if "covariance" in parameters else "scale"
        updates = {}
        for name in ("loc", spread):
            shared = name in family.shared_parameters
            actual = emission.conditional(name, None, statistics, centre, shared=shared)
            updates[name] = actual.mode()
        expected = emission.expected_log_density(statistics, centre).sum()
        return density, slope, updates, expected

    return compute


@pytest.mark.parametrize("name", SHAPES)
def test_single_precision_is_close_to_double_on_the_same_numbers(name, examine):
    family, features, gaps = SHAPES[name]
    for distance in (3.0, 300.0, 3e3, 3e4):
        x, weights, loc = _drawn(features, distance, gaps)
        parameters = {n: v.astype(np.float32) for n, v in _parameters(family, loc).items()}
        with jax.enable_x64(False):
            single = examine(parameters, x, weights, family=family, gaps=gaps)
        with jax.enable_x64(True):
            double = examine(
                *jax.tree.map(lambda v: jnp.asarray(v, float), (parameters, x, weights)),
                family=family, gaps=gaps,
            )  # fmt: skip
        assert single[0].dtype == np.float32 and double[0].dtype == np.float64
        near = weights > 0
        # a cell less the centre, or whitened, has the digits of its distance from it
        rounding = 3e-7 * distance
        for rows, relative in ((near, 1e-5), (slice(None), 1e-4)):
            np.testing.assert_allclose(
                single[0][rows],
                double[0][rows],
                rtol=relative + rounding,
                atol=5e-3 + 20 * rounding,
            )
        # a location is a single number itself
        grain = np.spacing(np.abs(loc)).max() + 1e-4
        np.testing.assert_allclose(single[2]["loc"], double[2]["loc"], atol=grain)
        spread = "covariance" if "covariance" in parameters else "scale"
        np.testing.assert_allclose(single[2][spread], double[2][spread], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(single[3], double[3], rtol=1e-3)
        for parameter, slope in double[1].items():
            size = np.abs(slope).max()
            np.testing.assert_allclose(
                single[1][parameter] / size, slope / size, atol=5e-3 + 10 * rounding
            )
