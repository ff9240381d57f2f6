"""Posteriors of one parameter: the density against prior and likelihood, the mode, the draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from jax.flatten_util import ravel_pytree
from numpyro.distributions import biject_to
from scipy import integrate, optimize, stats

from ppl_models.distributions import InverseGammaScale, SphericalGaussian, UnivariateGaussian
from ppl_models.distributions import conditionals as forms
from ppl_models.inference.statistics.m_step import plain_prior

ROWS, POINTS, DRAWS = 40, 30, 20_000
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
    spread = None if belief is None else plain_prior(belief, shape)
    conditional = emission.conditional(parameter, spread, statistics, centre, shared=shared)

    def log_density(theta):
        each = theta
        if shared and not case.shared(parameter):
            each = jnp.broadcast_to(theta, (3, *one))
        density = emission.replace(**{parameter: each}).expected_log_density(statistics, centre)
        return density.sum() + (0.0 if belief is None else belief.log_prob(theta).sum())

    return conditional, log_density


@pytest.fixture(scope="module")
def examined(sample):
    """``examined(case)``: all conditionals of a family and the heights about their modes.

    By parameter, prior and whether components share, in one compilation.
    """
    made = {}
    sizes = np.repeat([0.01, 0.3], POINTS // 2)[:, None]
    directions = sizes * np.random.default_rng(0).normal(size=(POINTS, 64))

    def of(case):
        if case.name in made:
            return made[case.name]
        kinds, value = {}, sample(case)

        def about(parameter, prior, shared, directions):
            conditional, log_density = _read(case, value, parameter, prior, shared)
            kinds[parameter, prior, shared] = type(conditional).__name__
            transform = biject_to(case.space(parameter))
            mode = conditional.mode()
            best, unravel = ravel_pytree(transform.inv(mode))
            near = best + directions[:, : len(best)]
            points = jax.vmap(lambda u: transform(unravel(u)))(near)
            heights = jax.vmap(log_density)(jnp.concatenate([mode[None], points]))
            return tuple(conditional), mode, heights[0], points, heights[1:]

        wanted = {(n, p, s or case.shared(n)) for n in case.parameters for p, s in KINDS}
        everything = jax.jit(lambda d: {one: about(*one, d) for one in wanted})
        actual = jax.tree.map(np.asarray, everything(directions))
        made[case.name] = {one: (kinds[one], *actual[one]) for one in wanted}
        return made[case.name]

    return of


@pytest.mark.parametrize(("prior", "shared"), KINDS)
def test_conditional_is_prior_times_likelihood_and_its_mode_the_top(case, examined, prior, shared):
    for parameter in case.parameters:
        of_all = shared or case.shared(parameter)
        kind, parts, mode, top, points, heights = examined(case)[parameter, prior, of_all]
        one = np.shape(case.component(0)[parameter])
        assert mode.shape == (one if of_all else (3, *one)), parameter
        assert (heights < top).all(), parameter
        known = np.array([_log_density(kind, parts, point) for point in points])
        constant = known - heights
        np.testing.assert_allclose(constant, constant[0], rtol=1e-9, atol=1e-8, err_msg=parameter)


def _log_density(kind, parts, point):
    """Log density of a conditional at a point, by SciPy."""
    point = np.asarray(point)
    if kind == "NormalConditional":
        return stats.norm(parts[0], parts[1] ** -0.5).logpdf(point).sum()
    if kind == "InverseGammaScaleConditional":
        squares = stats.invgamma(parts[0], scale=parts[1]).logpdf(point**2)
        return (squares + np.log(2 * point)).sum()
    if kind == "BetaConditional":
        return stats.beta(parts[0], parts[1]).logpdf(point).sum()
    if kind == "AxisShapeConditional":
        return -0.5 * (parts[0] * np.log(point) + parts[1] / point).sum()
    if kind == "RotationConditional":
        axes = point.reshape(len(parts[0]), *point.shape[-2:])
        return -0.5 * np.einsum("gma,gia,gmij,gja", parts[1], axes, parts[0], axes)
    if kind == "GammaConditional":
        return stats.gamma(parts[0], scale=1 / parts[1]).logpdf(point).sum()
    if kind == "DirichletConditional":
        return sum(_dirichlet(a, p) for a, p in _rows(parts[0], point))
    if kind == "BlockDirichletConditional":
        edges = np.cumsum(parts[1])[:-1]
        blocks = zip(np.split(parts[0], edges, -1), np.split(point, edges, -1), strict=True)
        return sum(_dirichlet(a, p) for pair in blocks for a, p in _rows(*pair))
    if kind == "MultivariateNormalConditional":
        linear, precision, shift = parts
        total = 0.0
        for b, matrix, x in zip(
            np.atleast_2d(linear), precision.reshape(-1, 3, 3), np.atleast_2d(point), strict=True
        ):
            covariance = np.linalg.inv(matrix)
            total += stats.multivariate_normal(covariance @ b + shift, covariance).logpdf(x)
        return total
    assert kind == "InverseWishartConditional"
    matrices = zip(parts[1].reshape(-1, 3, 3), point.reshape(-1, 3, 3), strict=True)
    freedom = np.broadcast_to(parts[0], len(parts[1].reshape(-1, 3, 3)))
    return sum(
        stats.invwishart(nu, psi).logpdf(x) for nu, (psi, x) in zip(freedom, matrices, strict=True)
    )


def _rows(concentration, point):
    width = point.shape[-1]
    return zip(concentration.reshape(-1, width), point.reshape(-1, width), strict=True)


def _dirichlet(concentration, point):
    return stats.dirichlet(concentration).logpdf(point / point.sum())


MATRIX = np.array([[2.0, 0.5], [0.5, 1.0]])
#: the conditional, and the known mean and variance of its draws
FORMS = {
    "dirichlet": lambda: (
        forms.DirichletConditional(jnp.array([2.0, 0.7, 4.0])),
        stats.dirichlet([2.0, 0.7, 4.0]).mean(),
        stats.dirichlet([2.0, 0.7, 4.0]).var(),
    ),
    "blocks": lambda: (
        forms.BlockDirichletConditional(jnp.array([2.0, 0.7, 4.0, 1.0, 3.0]), (3, 2)),
        np.r_[stats.dirichlet([2.0, 0.7, 4.0]).mean(), stats.dirichlet([1.0, 3.0]).mean()],
        np.r_[stats.dirichlet([2.0, 0.7, 4.0]).var(), stats.dirichlet([1.0, 3.0]).var()],
    ),
    "beta": lambda: (
        forms.BetaConditional(jnp.array([2.0, 0.5]), jnp.array([3.0, 1.5])),
        stats.beta([2.0, 0.5], [3.0, 1.5]).mean(),
        stats.beta([2.0, 0.5], [3.0, 1.5]).var(),
    ),
    "gamma": lambda: (
        forms.GammaConditional(jnp.array([2.0, 0.5]), jnp.array([3.0, 0.2])),
        np.array([2 / 3, 2.5]),
        np.array([2 / 9, 12.5]),
    ),
    "inverse gamma": lambda: (
        forms.InverseGammaConditional(jnp.array([6.0, 9.0]), jnp.array([3.0, 40.0])),
        stats.invgamma([6.0, 9.0], scale=[3.0, 40.0]).mean(),
        stats.invgamma([6.0, 9.0], scale=[3.0, 40.0]).var(),
    ),
    "normal": lambda: (
        forms.NormalConditional(jnp.array([2.0, -1.0]), jnp.array([4.0, 0.25])),
        np.array([2.0, -1.0]),
        np.array([0.25, 4.0]),
    ),
    "multivariate normal": lambda: (
        forms.MultivariateNormalConditional(
            jnp.array([1.0, 2.0]), jnp.asarray(np.linalg.inv(MATRIX)), jnp.array([10.0, 20.0])
        ),
        MATRIX @ [1.0, 2.0] + [10.0, 20.0],
        np.diag(MATRIX),
    ),
    "inverse gamma scale": lambda: (
        forms.InverseGammaScaleConditional(jnp.array([3.0, 8.0]), jnp.array([1.0, 20.0])),
        *_moments_of_root_inverse_gamma(np.array([3.0, 8.0]), np.array([1.0, 20.0])),
    ),
    "inverse Wishart": lambda: (
        forms.InverseWishartConditional(jnp.array(12.0), jnp.asarray(MATRIX)),
        stats.invwishart(12, MATRIX).mean(),
        stats.invwishart(12, MATRIX).var(),
    ),
}


def _moments_of_root_inverse_gamma(a, b):
    mean, square = np.empty(2), b / (a - 1)
    for i in range(2):
        law = stats.invgamma(a[i], scale=b[i])
        mean[i] = integrate.quad(lambda s, law=law: s * law.pdf(s**2) * 2 * s, 0, 50)[0]
    return mean, square - mean**2


@pytest.mark.parametrize("name", FORMS)
def test_draws_of_a_conditional_have_the_known_moments(name):
    conditional, mean, variance = FORMS[name]()
    draws = np.asarray(jax.jit(jax.vmap(conditional.sample))(random.split(random.key(3), DRAWS)))
    error = np.sqrt(variance / DRAWS)
    assert (np.abs(draws.mean(0) - mean) < 5 * error).all()
    squares = (draws - mean) ** 2
    assert (np.abs(squares.mean(0) - variance) < 5 * squares.std(0) / np.sqrt(DRAWS)).all()
    if name == "multivariate normal":
        product = (draws[:, 0] - mean[0]) * (draws[:, 1] - mean[1])
        assert abs(product.mean() - 0.5) < 5 * product.std() / np.sqrt(DRAWS)


def test_every_conditional_form_is_drawn_from_in_a_test():
    known = {n for n in vars(forms) if n.endswith("Conditional")} - {"Conditional"}
    # (draws of a rate depend on the one before, see below)
    assert known == {type(make()[0]).__name__ for make in FORMS.values()} | {"RateConditional"}


@pytest.mark.parametrize(("order", "rate", "barrier"), [(6.0, 5.0, 0.0), (-3.0, 2.0, 4.0)])
def test_a_step_of_a_rate_leaves_its_distribution_as_it_is(order, rate, barrier):
    """Draws of the generalised inverse Gaussian itself have the same distribution after a step."""
    if barrier:
        root = 2 * np.sqrt(rate * barrier)
        law = stats.geninvgauss(order, root, scale=np.sqrt(barrier / rate))
    else:
        law = stats.gamma(order, scale=1 / rate)
    current = jnp.asarray(law.rvs(20_000, random_state=0), jnp.float32)
    same = jnp.ones_like(current)
    conditional = forms.RateConditional(order * same, rate * same, barrier * same, current)
    moved = np.asarray(conditional.sample(random.key(0)))
    assert stats.kstest(moved, law.cdf).pvalue > 1e-3
    assert (moved != np.asarray(current)).mean() > 0.6
    assert abs(np.corrcoef(moved, current)[0, 1]) < 0.4


@pytest.mark.parametrize("prior", [None, (2.0, 1.5)], ids=["flat", "inverse gamma"])
def test_mode_of_a_scale_is_what_an_optimiser_finds(prior):
    emission = UnivariateGaussian(np.array([1.0]), np.array([1.0]))
    value = np.random.default_rng(0).normal(1.0, 2.0, 15)
    statistics = emission.expected_statistics(
        jnp.ones((1, 15)), jnp.asarray(value), missing=False, centre=jnp.zeros(())
    )
    belief = None if prior is None else InverseGammaScale(*(jnp.full(1, v) for v in prior))
    conditional = emission.conditional("scale", belief, statistics, 0.0, shared=False)

    def negative(scale):
        law = None if prior is None else stats.invgamma(prior[0], scale=prior[1])
        weight = 0.0 if law is None else law.logpdf(scale**2) + np.log(2 * scale)
        return -stats.norm(1.0, scale).logpdf(value).sum() - weight

    best = optimize.minimize_scalar(
        negative, bounds=(0.1, 9), method="bounded", options={"xatol": 1e-10}
    )
    np.testing.assert_allclose(conditional.mode(), best.x, rtol=1e-6)


def test_flat_limits_of_dirichlet_and_beta_are_relative_frequencies():
    counts = jnp.array([[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        forms.DirichletConditional(1 + counts).mode(), [[0.75, 0.0, 0.25], [1 / 3] * 3]
    )
    # a concentration below one pushes to the boundary, never beyond
    np.testing.assert_allclose(
        forms.DirichletConditional(jnp.array([0.5, 2.0, 4.0])).mode(), [0.0, 0.25, 0.75]
    )
    ones, zeros = jnp.array([4.0, 1.0, 1.0]), jnp.array([1.0, 3.0, 1.0])
    np.testing.assert_allclose(forms.BetaConditional(ones, zeros).mode(), [1.0, 0.0, 0.5])


def test_modes_stay_within_the_space_at_its_edge():
    assert float(forms.GammaConditional(jnp.array(1.0), jnp.array(3.0)).mode()) > 0
    assert float(forms.InverseGammaScaleConditional(jnp.array(2.0), jnp.array(0.0)).mode()) > 0


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
