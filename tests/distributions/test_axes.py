"""Orientations and shapes of ellipsoids: coordinates, priors, and steps of EM and Gibbs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import integrate, stats
from scipy.special import k0

from ppl_models.distributions.priors.axis_shape import (
    AxisShape,
    AxisShapeConditional,
    UnitProductTransform,
    log_normaliser,
    unit_product,
)
from ppl_models.distributions.priors.orientation import (
    CayleyTransform,
    RotationConditional,
    UniformRotation,
    canonical,
    rotation,
)

DRAWS = 20_000


def test_coordinates_of_rotations_are_bounded_and_lead_back():
    axes = jnp.asarray(stats.ortho_group(4, 0).rvs(500))  # of both determinants
    turned = jnp.asarray(np.stack([-np.eye(4), np.eye(4)[[1, 0, 3, 2]]]))  # by π in two planes
    transform = CayleyTransform()
    for values in (axes, turned):
        coordinates = transform.inv(values)
        again = transform(coordinates)
        assert bool(rotation(again).all()) and float(jnp.abs(coordinates).max()) < 2.5
        np.testing.assert_allclose(jnp.abs(again), jnp.abs(values), atol=1e-12)  # but for signs
        np.testing.assert_allclose(canonical(again), again, atol=1e-12)
    assert transform.inverse_shape((7, 4, 4)) == (7, 6)
    assert transform.forward_shape((7, 6)) == (7, 4, 4)


@pytest.mark.parametrize("dimension", [2, 3])
def test_uniform_rotations_have_the_density_of_their_coordinates(dimension):
    """The coordinates' density integrates to 1, and gives rotations the moments of Haar's measure.

    By weights of Cauchy draws, and by the draws themselves.
    """
    size = dimension * (dimension - 1) // 2
    drawn = jnp.asarray(stats.cauchy.rvs(size=(100_000, size), random_state=0))
    transform = CayleyTransform()
    log_weight = transform.log_abs_det_jacobian(drawn, None)
    weight = np.exp(log_weight - stats.cauchy.logpdf(drawn).sum(-1))
    assert abs(weight.mean() - 1) < 5 * weight.std() / len(weight) ** 0.5 + 1e-9
    fourth = np.asarray(transform(drawn)[:, 0, -1] ** 4) * weight
    known = 3 / (dimension * (dimension + 2))
    assert abs(fourth.mean() - known) < 5 * fourth.std() / len(weight) ** 0.5
    own = np.asarray(UniformRotation(dimension).sample(random.key(0), (DRAWS,)))
    assert bool(rotation(own).all())
    assert abs((own[:, 0, -1] ** 4).mean() - known) < 5 * (own**4).std() / DRAWS**0.5


def test_normaliser_of_shapes_is_an_integral():
    np.testing.assert_allclose(log_normaliser(0.3, 2), np.log(2**1.5 * k0(0.3)), rtol=1e-9)

    def height(v, u):
        return np.exp(-0.35 * (np.exp(-u) + np.exp(-v) + np.exp(u + v)))

    plane = integrate.dblquad(height, -9, 9, -9, 9, epsabs=1e-10)[0]
    np.testing.assert_allclose(log_normaliser(0.7, 3), np.log(3**0.5 * plane), rtol=1e-7)


@pytest.mark.parametrize(
    ("concentration", "dimension"),
    [(0.3, 4), *(pytest.param(*of, marks=pytest.mark.long) for of in ((1.0, 2), (20.0, 3)))],
)
def test_draws_of_shapes_have_the_mean_that_the_normaliser_says(concentration, dimension):
    """d log Z / dκ = -½ E Σ c_d / a_d."""
    centre = jnp.linspace(1.0, 3.0, dimension)
    prior = AxisShape(centre, concentration)
    drawn = np.asarray(jax.jit(lambda key: prior.sample(key, (DRAWS,)))(random.key(1)))
    assert bool(unit_product(drawn).all())
    actual = -0.5 * (np.asarray(prior.rate) / concentration / drawn).sum(-1)
    step = 1e-4 * concentration
    ends = [log_normaliser(concentration + s, dimension) for s in (step, -step)]
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(actual.mean() - slope) < 5 * actual.std() / DRAWS**0.5
    free = UnitProductTransform(True).inv(drawn)
    np.testing.assert_allclose(UnitProductTransform(True)(free), drawn, rtol=1e-9)


def test_a_step_of_a_shape_leaves_its_distribution_as_it_is():
    """Of unequal counts too: two axes against quadrature, three against the prior's own draws."""
    count, rate = jnp.array([9.0, 4.0]), jnp.array([3.0, 0.5])

    def step(shape, key):
        moved = AxisShapeConditional(count, rate, shape).sample(key)
        return moved, moved[0]

    ones = jnp.ones(2)
    draws = np.log(jax.lax.scan(step, ones, random.split(random.key(0), 8000))[1][50:])
    grid = np.linspace(-6, 6, 4001)
    height = -0.5 * (9 - 4) * grid - 0.5 * (3 * np.exp(-grid) + 0.5 * np.exp(grid))
    mass = np.exp(height) / np.exp(height).sum()
    mean = (mass * grid).sum()
    assert abs(draws.mean() - mean) < 7 * (mass * (grid - mean) ** 2).sum() ** 0.5 / 8000**0.5
    assert (
        abs(np.log(AxisShapeConditional(count, rate, ones).mode()[0]) - grid[mass.argmax()]) < 3e-3
    )

    prior = AxisShape(jnp.array([3.0, 1.0, 0.5]), 2.0)
    own = prior.sample(random.key(1), (DRAWS,))
    same = jnp.broadcast_to(prior.rate, own.shape)
    moved = AxisShapeConditional(jnp.zeros_like(own), same, own).sample(random.key(2))
    for axis in range(3):
        assert stats.ks_2samp(np.asarray(moved[:, axis]), np.asarray(own[:, axis])).pvalue > 1e-3


def _several(seed):
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(3, 3, 3))
    return root @ root.swapaxes(1, 2), generator.uniform(0.2, 3, (3, 3))


def _height(matrices, precisions, axes):
    return -0.5 * np.einsum("ma,...ia,mij,...ja->...", precisions, axes, matrices, axes)


def test_a_rotation_common_to_several_matrices_rises_to_a_maximum_and_is_drawn():
    matrices, precisions = _several(0)
    draws = np.asarray(UniformRotation(3).sample(random.key(0), (DRAWS,)))
    heights = _height(matrices, precisions, draws)
    axes = jnp.asarray(draws[0])
    values = jnp.asarray(matrices)[None], jnp.asarray(precisions)[None]
    axes = RotationConditional(*values, axes[None], True).mode()
    top = _height(matrices, precisions, np.asarray(axes))
    assert top > heights.max()
    again = RotationConditional(*values, axes[None], True).mode()
    np.testing.assert_allclose(again, axes, atol=1e-9)

    def step(axes, key):
        moved = RotationConditional(*values, axes[None], True).sample(key)
        return moved, moved

    chain = np.asarray(jax.lax.scan(step, axes, random.split(random.key(1), 6000))[1])
    weight = np.exp(heights - heights.max())
    weight /= weight.sum()
    wanted = np.einsum("n,nij->ij", weight, draws**2)
    error = (weight**2).sum() ** 0.5 * (draws**2).std() + (chain**2).std() * (10 / 6000) ** 0.5
    assert (np.abs((chain**2).mean(0) - wanted) < 5 * error).all()
