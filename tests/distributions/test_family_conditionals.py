"""Posteriors of one parameter: modes against an optimiser, draws against the density itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from jax.flatten_util import ravel_pytree
from numpyro.distributions import biject_to
from scipy import integrate, optimize, stats

from ppl_models.distributions import SphericalGaussian, UnivariateGaussian
from ppl_models.distributions.conditionals import (
    BetaConditional,
    DirichletConditional,
    GammaConditional,
    InverseGammaScaleConditional,
    InverseWishartConditional,
)

ROWS, DRAWS = 40, 4000


#: (prior, whether all components share the value)
KINDS = [("conjugate", False), ("flat", False), ("conjugate", True)]


@pytest.fixture(scope="module")
def sample():
    """Rows of a family's own components in turn, made once."""
    made = {}

    def of(case):
        if case.name not in made:
            draw = jax.jit(lambda key: case.by_row(ROWS).sample(key))
            made[case.name] = np.asarray(draw(random.key(7)))
        return made[case.name]

    return of


def _read(case, value, parameter, prior, shared):
    """The conditional, and the log density that it claims to be the posterior of."""
    weights = np.random.default_rng(5).dirichlet(np.ones(3), ROWS).T
    emission = case.build()
    centre = emission.centre(jnp.asarray(value))
    statistics = emission.expected_statistics(
        jnp.asarray(weights), jnp.asarray(value), missing=False, centre=centre
    )
    belief = case.priors[parameter]() if prior == "conjugate" else None
    one = np.shape(case.component(0)[parameter])
    shape = one if shared else (3, *one)
    spread = None if belief is None else _spread(belief, shape)
    conditional = emission.conditional(parameter, spread, statistics, centre, shared=shared)

    def log_density(theta):
        each = theta
        if shared and not case.shared(parameter):
            each = jnp.broadcast_to(theta, (3, *one))
        density = emission.replace(**{parameter: each}).expected_log_density(statistics, centre)
        return density.sum() + (0.0 if belief is None else belief.log_prob(theta).sum())

    return conditional, log_density


def _spread(belief, shape):
    """A prior whose own parameters are as large as the site, as methods hand it over."""
    batch = shape[: len(shape) - belief.event_dim]
    arguments = {}
    for name in belief.arg_constraints:
        value = jnp.asarray(getattr(belief, name, None))
        event = value.shape[len(belief.batch_shape):]
        arguments[name] = jnp.broadcast_to(value, batch + event)
    if type(belief).__name__ == "InverseWishart":
        arguments = {n: arguments[n] for n in ("concentration", "scale_matrix")}
    if hasattr(belief, "blocks"):
        arguments["blocks"] = belief.blocks
    return type(belief)(**arguments)


@pytest.mark.parametrize(("prior", "shared"), KINDS)
def test_mode_is_the_optimum_and_draws_have_the_density(case, sample, prior, shared):
    for parameter in case.parameters:
        _assert_posterior(case, sample(case), parameter, prior, shared or case.shared(parameter))


def _assert_posterior(case, value, parameter, prior, shared):
    transform = biject_to(case.space(parameter))

    @jax.jit
    def examine(keys, directions):
        conditional, log_density = _read(case, value, parameter, prior, shared)
        mode = conditional.mode()
        best, unravel = ravel_pytree(transform.inv(mode))
        values = jax.vmap(conditional.sample)(keys)
        free = jax.vmap(lambda v: ravel_pytree(transform.inv(v))[0])(values)

        def heights(u):  # of the value, and of u: the value's times the Jacobian
            u = unravel(u)
            height = log_density(transform(u))
            jacobian = transform.log_abs_det_jacobian(u, transform(u)).sum()
            return height, height + jacobian

        slopes = jax.vmap(jax.jacrev(heights))(jnp.concatenate([best[None], free]))
        rivals = jax.vmap(heights)(best + 0.02 * directions[:, : len(best)])[0]
        gains = rivals - heights(best)[0]
        return mode, values, free, slopes[0][0], slopes[1][1:], gains

    directions = np.random.default_rng(0).normal(size=(50, 64))
    found = examine(random.split(random.key(3), DRAWS), directions)
    mode, values, free, slope, scores, gains = map(np.asarray, found)
    one = np.shape(case.component(0)[parameter])
    assert mode.shape == values.shape[1:] == (one if shared else (3, *one)), parameter
    np.testing.assert_allclose(slope, 0, atol=1e-7, err_msg=parameter)
    assert (gains < 0).all(), parameter
    _assert_stein(free, scores, parameter)


def _assert_stein(free, scores, label):
    """For draws u of a density p, E[∂ log p] = 0 and E[(u - c) ∂ log p'] = -1 (Stein 1972)."""
    first = np.abs(scores.mean(0)) / (scores.std(0) / np.sqrt(DRAWS))
    assert first.max() < 5, label
    products = (free - free.mean(0))[:, :, None] * scores[:, None, :]
    error = products.std(0) / np.sqrt(DRAWS)
    assert (np.abs(products.mean(0) + np.eye(free.shape[1])) < 5 * error + 2e-3).all(), label


def test_mode_of_a_scale_is_what_an_optimiser_finds_and_its_draws_integrate():
    emission = UnivariateGaussian(np.array([1.0]), np.array([1.0]))
    value = jnp.asarray(np.random.default_rng(0).normal(1.0, 2.0, 15))
    statistics = emission.expected_statistics(
        jnp.ones((1, 15)), value, missing=False, centre=jnp.zeros(())
    )
    for prior in (None, stats.invgamma(2.0, scale=1.5)):
        from ppl_models.distributions import InverseGammaScale

        given = None if prior is None else InverseGammaScale(jnp.full(1, 2.0), jnp.full(1, 1.5))
        conditional = emission.conditional("scale", given, statistics, 0.0, shared=False)

        def density(scale, prior=prior):
            likelihood = stats.norm(1.0, scale).logpdf(np.asarray(value)).sum()
            weight = 0.0 if prior is None else prior.logpdf(scale**2) + np.log(2 * scale)
            return np.exp(likelihood + weight + 25)

        best = optimize.minimize_scalar(lambda s: -density(s), bounds=(0.1, 9), method="bounded",
                                        options={"xatol": 1e-9})
        np.testing.assert_allclose(conditional.mode(), best.x, rtol=1e-5)
        total = integrate.quad(density, 0.2, 30)[0]
        mean = integrate.quad(lambda s: s * density(s), 0.2, 30)[0] / total
        draws = np.asarray(jax.vmap(conditional.sample)(random.split(random.key(0), DRAWS)))
        assert abs(draws.mean() - mean) < 5 * draws.std() / np.sqrt(DRAWS)


def test_flat_limits_of_dirichlet_and_beta_are_relative_frequencies():
    counts = jnp.array([[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        DirichletConditional(1 + counts).mode(), [[0.75, 0.0, 0.25], [1 / 3] * 3]
    )
    # a concentration below one pushes to the boundary, never beyond
    np.testing.assert_allclose(
        DirichletConditional(jnp.array([0.5, 2.0, 4.0])).mode(), [0.0, 0.25, 0.75]
    )
    ones, zeros = jnp.array([4.0, 1.0, 1.0]), jnp.array([1.0, 3.0, 1.0])
    np.testing.assert_allclose(BetaConditional(ones, zeros).mode(), [1.0, 0.0, 0.5])


def test_modes_stay_within_the_space_at_its_edge():
    assert float(GammaConditional(jnp.array(1.0), jnp.array(3.0)).mode()) > 0
    assert float(InverseGammaScaleConditional(jnp.array(2.0), jnp.array(0.0)).mode()) > 0


def test_inverse_wishart_has_the_known_moments():
    scale = np.array([[2.0, 0.5], [0.5, 1.0]])
    conditional = InverseWishartConditional(jnp.array(12.0), jnp.asarray(scale))
    draws = np.asarray(jax.vmap(conditional.sample)(random.split(random.key(0), 20_000)))
    error = draws.std(0) / np.sqrt(len(draws))
    known = stats.invwishart(12, scale)
    assert (np.abs(draws.mean(0) - known.mean()) < 5 * error).all()
    squares = (draws - known.mean()) ** 2
    assert (np.abs(squares.mean(0) - known.var()) < 5 * squares.std(0) / np.sqrt(20_000)).all()
    np.testing.assert_allclose(conditional.mode(), known.mode(), rtol=1e-10)


@pytest.mark.parametrize("spread", [0.0, 1e-9])
def test_a_flat_prior_keeps_a_component_on_one_row_above_zero_scale(spread):
    value = jnp.asarray([[0.0, 0.0], [spread, 0.0], [10.0, 3.0], [12.0, 5.0], [14.0, 1.0]])
    weights = jnp.asarray([[1.0, 1, 0, 0, 0], [0, 0, 1.0, 1, 1]])
    emission = SphericalGaussian(jnp.asarray([[0.0, 0.0], [12.0, 3.0]]), jnp.ones(2))
    centre = emission.centre(value)
    statistics = emission.expected_statistics(weights, value, missing=False, centre=centre)
    mode = emission.conditional("scale", None, statistics, centre, shared=False).mode()
    assert 0 < float(mode[0]) < 1e-4
    collapsed = emission.replace(scale=mode).collapsed(jnp.std(value, 0))
    assert collapsed.tolist() == [True, False]
