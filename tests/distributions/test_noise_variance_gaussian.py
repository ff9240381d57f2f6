"""NumPyro's low-rank normal as a family: its densities, slopes, gaps, draws and conditionals."""

from __future__ import annotations

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random
from scipy import stats

from ppl_models.distributions.conditionals import InverseGammaConditional
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.exponential.noise_variance_gaussian import NoiseVarianceGaussian

_g = np.random.default_rng(4)
CLUSTERS, ROWS, FEATURES, FACTORS = 3, 7, 4, 2
LOC = _g.normal(0, 2, (CLUSTERS, ROWS, FEATURES))
LOADINGS = _g.normal(size=(CLUSTERS, ROWS, FEATURES, FACTORS))
VARIANCE = _g.uniform(0.3, 2, (CLUSTERS, ROWS, FEATURES))
X = _g.normal(0, 3, (ROWS, FEATURES))
GAPS = X.copy()
GAPS[[0, 2, 3, 3, 5, 5, 5, 5], [1, 0, 0, 2, 0, 1, 2, 3]] = np.nan
WEIGHTS = _g.uniform(size=(CLUSTERS, ROWS))
CENTRE = jnp.array([0.4, -0.3, 0.1, 0.0])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


#: how the batch axes of location, loadings and variances lie, as programs write them
AXES = {
    "enumerated": (np.s_[:, :1], np.s_[:, :1], np.s_[:, :1]),
    "a location a row": (np.s_[:], np.s_[:, :1], np.s_[:, :1]),
    "a location a row, one scatter": (np.s_[:], np.s_[0, 0], np.s_[0, 0]),
    "a location a row, without clusters": (np.s_[0], np.s_[0, 0], np.s_[0, :1]),
    "loadings a row": (np.s_[:, :1], np.s_[:], np.s_[:, :1]),
    "variances a row": (np.s_[:, :1], np.s_[:, :1], np.s_[:]),
    "one component": (np.s_[0, 0], np.s_[0, 0], np.s_[0, 0]),
    "one loading for all": (np.s_[:, :1], np.s_[0, 0], np.s_[:, :1]),
    "chosen clusters": (np.s_[0], np.s_[0], np.s_[0]),
}


def _parameters(axes):
    every = LOC, LOADINGS, VARIANCE
    return tuple(jnp.asarray(v[place]) for v, place in zip(every, AXES[axes], strict=True))


def _numpyro(parameters, rows):
    """The density of the observed cells, row by row: the distribution of those features alone."""
    loc, loadings, variance = parameters

    def of_row(n):
        own = [
            v[..., min(n, v.shape[-d - 1] - 1), *[slice(None)] * d] if v.ndim > d else v
            for v, d in ((loc, 1), (loadings, 2), (variance, 1))
        ]
        seen = np.flatnonzero(~np.isnan(rows[n]))
        if not len(seen):
            return 0 * (own[0].sum(-1) + own[1].sum((-1, -2)) + own[2].sum(-1))
        part = own[0][..., seen], own[1][..., seen, :], own[2][..., seen]
        return dist.LowRankMultivariateNormal(*part).log_prob(rows[n][seen])

    return jnp.stack([of_row(n) for n in range(len(rows))], -1)


@pytest.mark.parametrize("rows", [X, GAPS], ids=["complete", "gaps"])
@pytest.mark.parametrize("axes", AXES)
def test_density_and_slopes_are_numpyros(axes, rows):
    parameters = _parameters(axes)
    direction = [_g.normal(size=p.shape) for p in parameters]

    def own(parameters, value=rows):
        return as_family(dist.LowRankMultivariateNormal(*parameters)).log_prob(value)

    @jax.jit
    def look(parameters, traced):
        def weighed(function):  # a different weight of every density
            def total(parameters):
                density = function(parameters)
                return (density * jnp.arange(1.0, density.size + 1).reshape(density.shape)).sum()

            def curvature(parameters):  # second derivatives too: along one direction
                return jax.jvp(jax.grad(total), (parameters,), (tuple(direction),))[1]

            return jax.grad(total)(parameters), curvature(parameters)

        def expected(parameters):
            return _numpyro(parameters, rows)

        return (
            (own(parameters), own(parameters, traced), *weighed(own)),
            (expected(parameters), expected(parameters), *weighed(expected)),
        )

    actual, expected = look(parameters, jnp.asarray(rows))
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10 * np.abs(other).max())


@pytest.mark.parametrize("axes", AXES)
def test_draws_are_numpyros(axes):
    numpyros = dist.LowRankMultivariateNormal(*_parameters(axes))
    own = as_family(numpyros)
    drawn = own.sample(random.key(3), (5,))
    np.testing.assert_allclose(drawn, numpyros.sample(random.key(3), (5,)), rtol=1e-12)
    np.testing.assert_allclose(own.mean, jnp.broadcast_to(numpyros.mean, own.shape()))
    np.testing.assert_allclose(own.variance, numpyros.variance, rtol=1e-12)


def _statistics():
    family = as_family(dist.LowRankMultivariateNormal(*_parameters("enumerated"))).components()
    arguments = {"missing": True, "centre": CENTRE}
    prepared = family.prepare(jnp.asarray(GAPS), **arguments)
    return family, family.prepared_statistics(WEIGHTS, prepared, **arguments)


@pytest.mark.parametrize("shared", [False, True], ids=["each", "shared"])
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "prior"])
def test_mode_of_the_variances_is_where_the_slope_is_zero(flat, shared):
    family, statistics = _statistics()
    prior = dist.InverseGamma(np.full(FEATURES, 2.5), np.full(FEATURES, 1.2))
    told = None if flat else prior
    posterior = family.conditional("noise_variance", told, statistics, CENTRE, shared=shared)
    mode = posterior.mode()

    def height(variance):
        changed = family.replace(noise_variance=jnp.broadcast_to(variance, (CLUSTERS, FEATURES)))
        density = changed.expected_log_density(statistics, CENTRE).sum()
        return density + (0.0 if flat else prior.log_prob(variance).sum())

    assert mode.shape == ((FEATURES,) if shared else (CLUSTERS, FEATURES))
    np.testing.assert_allclose(jax.grad(height)(mode), 0, atol=1e-8)


def test_other_priors_of_the_variances_are_not_conjugate():
    family, statistics = _statistics()
    prior = dist.HalfNormal(np.ones(FEATURES))
    for parameter in ("loc", "loadings", "noise_variance"):
        assert family.conditional(parameter, prior, statistics, CENTRE, shared=False) is None


def test_variances_are_drawn_from_their_posterior():
    posterior = InverseGammaConditional(jnp.full(4000, 3.5), jnp.full(4000, 2.0))
    known = stats.invgamma(3.5, scale=2.0)
    assert stats.kstest(np.asarray(posterior.sample(random.key(0))), known.cdf).pvalue > 1e-3
    heights = known.logpdf(float(posterior.mode()[0]) * np.array([0.99, 1.0, 1.01]))
    assert heights.argmax() == 1


def test_covariances_of_components():
    """As the pictures draw them."""
    loc, loadings, variance = (np.asarray(p[:, 0]) for p in _parameters("enumerated"))
    named = {"loc": loc, "loadings": loadings, "noise_variance": variance}
    mean, covariance = NoiseVarianceGaussian.component_moments(named)
    expected = dist.LowRankMultivariateNormal(loc, loadings, variance).covariance_matrix
    np.testing.assert_array_equal(mean, loc)
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)
    assert "2 factors explain" in NoiseVarianceGaussian.summarise(named, 0, list("abcd"))


def test_next_to_no_noise_value_and_slope_keep_their_digits():
    """Of a feature that the factor explains all but entirely, by exact fractions.

    The sums of squares that NumPyro subtracts are 1e20 there: it is off by thousands of nats.
    """
    loc, loadings = np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.5, -0.25])
    variance, x = np.array([1.0, 1e-20, 0.5]), np.array([2.5, 0.75, 1.0])
    exact = [[Fraction(float(v)) for v in values] for values in (x - loc, loadings, variance)]
    residual, loading, noise = exact
    size = 1 + sum(a * a / v for a, v in zip(loading, noise, strict=True))
    score = sum(a * r / v for a, r, v in zip(loading, residual, noise, strict=True)) / size
    white = [(r - a * score) / v for r, a, v in zip(residual, loading, noise, strict=True)]
    square = float(sum(w * r for w, r in zip(white, residual, strict=True)))
    determinant = np.log(float(size)) + np.log(variance).sum()
    expected = -0.5 * (square + determinant + 3 * np.log(2 * np.pi))

    def density(loc):
        family = NoiseVarianceGaussian(loc[None, None], loadings[None, None, :, None], variance)
        return family.log_prob(np.tile(x, (2, 1)))[0, 0]

    value, slope = jax.jit(jax.value_and_grad(density))(jnp.asarray(loc))
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(slope, [float(w) for w in white], rtol=1e-5)
