"""Priors that NumPyro lacks: densities, integrals, draws and unconstrained images."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from numpyro.distributions import biject_to
from scipy import integrate, stats

from ppl_models.distributions import BlockDirichlet, GeneralizedInverseGaussian, InverseGammaScale
from ppl_models.distributions.conditionals import RateConditional
from ppl_models.distributions.priors.scales_and_blocks import split_blocks

CONCENTRATION, BLOCKS = np.array([2.0, 0.8, 3.0, 1.5, 4.0, 1.0]), (3, 2, 1)


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (0.7, 3.0), (9.0, 0.2)])
def test_scale_whose_square_is_inverse_gamma(a, b):
    prior = InverseGammaScale(a, b)
    scale = np.array([0.1, 0.5, 1.0, 3.0])
    expected = stats.invgamma(a, scale=b).logpdf(scale**2) + np.log(2 * scale)
    np.testing.assert_allclose(prior.log_prob(scale), expected, rtol=1e-10)
    grid = np.exp(np.linspace(-12, 25, 40_001))  # a heavy tail wants logarithms
    total = integrate.simpson(np.exp(prior.log_prob(grid)) * grid, x=np.log(grid))
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_draws_of_the_scale():
    prior = InverseGammaScale(np.array([2.0, 6.0]), np.array([1.0, 3.0]))
    draws = np.asarray(prior.sample(random.key(0), (20_000,)))
    assert draws.shape == (20_000, 2)
    precision = draws**-2.0  # Gamma(a, b)
    mean, variance = np.array([2.0, 2.0]), np.array([2.0, 6 / 9])
    assert (np.abs(precision.mean(0) - mean) < 5 * np.sqrt(variance / 20_000)).all()
    assert bool(prior.support(draws).all())


@pytest.mark.parametrize(
    ("order", "a", "b"),
    [
        (1.5, 1.0, 3.0),
        (2.5, 0.083, 1959.0),  # of a thousand rows of whole numbers
        *(pytest.param(*of, marks=pytest.mark.long) for of in ((0.5, 2.0, 0.1), (2.5, 0.3, 1e-3))),
    ],
)
def test_a_rate_that_is_kept_off_zero(order, a, b):
    prior = GeneralizedInverseGaussian(order, a, b)
    expected = stats.geninvgauss(order, 2 * np.sqrt(a * b), scale=np.sqrt(b / a))
    rate = np.array([0.02, 0.5, 1.0, 7.0])
    np.testing.assert_allclose(prior.log_prob(rate), expected.logpdf(rate), rtol=1e-9)
    np.testing.assert_allclose(prior.mean, expected.mean(), rtol=1e-9)
    draws = np.asarray(prior.sample(random.key(0), (20_000,)))
    assert abs(draws.mean() - expected.mean()) < 5 * expected.std() / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("order", "a", "b"), [(6.5, 5.0, 1e-6), (2.5, 1e-3, 100.0), (30.0, 1e6, 1.0)]
)
def test_conditional_of_a_rate(order, a, b):
    """Draws against quadrature over log r, and the mode against the density's neighbours."""

    def step(current, key):
        actual = RateConditional(*map(jnp.array, (order, a, b)), current).sample(key)
        return actual, actual

    draws = np.log(jax.lax.scan(step, jnp.array(1.0), random.split(random.key(0), 8000))[1][50:])
    law = stats.geninvgauss(order, 2 * np.sqrt(a * b), scale=np.sqrt(b / a))
    grid = np.linspace(draws.min() - 5, draws.max() + 5, 20_001)
    mass = np.exp(law.logpdf(np.exp(grid)) + grid) * (grid[1] - grid[0])
    mean = (mass * grid).sum()
    deviation = np.sqrt((mass * (grid - mean) ** 2).sum())
    assert abs(draws.mean() - mean) < 7 * deviation / np.sqrt(len(draws))
    assert abs(draws.std() / deviation - 1) < 0.06
    assert (np.diff(draws) == 0).mean() < 0.2  # few are refused
    mode = RateConditional(*map(jnp.array, (order, a, b, 1.0))).mode()
    assert (law.logpdf(mode) > law.logpdf(mode * np.array([0.99, 1.01]))).all()


def test_blocks_of_dirichlets_are_dirichlets():
    prior = BlockDirichlet(CONCENTRATION, BLOCKS)
    draws = np.asarray(jax.jit(lambda key: prior.sample(key, (20_000,)))(random.key(0)))
    assert draws.shape == (20_000, 6)
    assert bool(prior.support(draws).all())
    parts = [stats.dirichlet(CONCENTRATION[:3]), stats.dirichlet(CONCENTRATION[3:5])]
    values = draws[:20].astype(np.float64)
    expected = [
        sum(law.logpdf(p / p.sum()) for law, p in zip(parts, (v[:3], v[3:5]), strict=True))
        for v in values
    ]
    np.testing.assert_allclose(jax.jit(prior.log_prob)(values), expected, rtol=1e-10)
    mean = np.concatenate([parts[0].mean(), parts[1].mean(), [1.0]])
    variance = np.concatenate([parts[0].var(), parts[1].var(), [0.0]])
    assert (np.abs(draws.mean(0) - mean) <= 5 * np.sqrt(variance / 20_000) + 1e-12).all()


def test_density_of_blocks_integrates_to_one():
    prior = BlockDirichlet(np.array([2.0, 1.5, 3.0, 2.5]), (2, 2))
    transform = biject_to(prior.support)
    grid = jnp.linspace(-20, 20, 401)
    free = jnp.stack(jnp.meshgrid(grid, grid), -1).reshape(-1, 2)

    @jax.jit
    def density(free):
        value = transform(free)
        return jnp.exp(prior.log_prob(value) + transform.log_abs_det_jacobian(free, value))

    np.testing.assert_allclose(density(free).sum() * 0.1**2, 1, rtol=1e-6)


def test_way_to_the_unconstrained_space_and_back():
    transform = biject_to(BlockDirichlet(CONCENTRATION, BLOCKS).support)
    free = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    assert transform.inverse_shape((4, 6)) == (4, 3)
    assert transform.forward_shape((4, 3)) == (4, 6)

    @jax.jit
    def examine(free):
        value = transform(free)
        heads = jax.vmap(
            jax.jacfwd(  # the last entry of every block is determined by the others
                lambda u: jnp.concatenate([p[:-1] for p in split_blocks(transform(u), BLOCKS)])
            )
        )(free)
        return value, transform.inv(value), transform.log_abs_det_jacobian(free, value), heads

    value, back, actual, jacobian = examine(free)
    np.testing.assert_allclose(back, free, rtol=1e-9)
    np.testing.assert_allclose([p.sum(-1) for p in split_blocks(value, BLOCKS)], 1, rtol=1e-12)
    np.testing.assert_allclose(actual, np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-9)


def test_support_of_blocks_is_judged_block_by_block():
    support = BlockDirichlet(np.ones(5), (3, 2)).support
    good, bad = jnp.array([0.2, 0.3, 0.5, 0.4, 0.6]), jnp.array([0.2, 0.3, 0.4, 0.5, 0.6])
    assert bool(support(good)) and not bool(support(bad))
    assert not bool(support(jnp.array([-0.1, 0.6, 0.5, 0.4, 0.6])))
    assert support == BlockDirichlet(np.ones(5), (3, 2)).support
    assert support != BlockDirichlet(np.ones(5), (2, 3)).support
    assert bool(support(support.feasible_like(jnp.zeros(5))))
