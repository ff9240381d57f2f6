"""Distributions q of global sites: divergence from the prior, draws, and moments of rates."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, random
from jax.scipy.special import digamma, gammaln, logsumexp, multigammaln

from ppl_models.distributions.conditionals import (
    BetaConditional,
    BlockDirichletConditional,
    DirichletConditional,
    GammaConditional,
    InverseGammaScaleConditional,
    InverseWishartConditional,
    MultivariateNormalConditional,
    NormalConditional,
    RateConditional,
)
from ppl_models.distributions.priors.scales_and_blocks import split_blocks
from ppl_models.errors import UnsupportedError

NODES = 400  #: of the trapezoidal rule over the logarithm of a rate
TAIL = 40.0  #: log-density below the mode's at which it ends
WIDTHS = 12.0  #: standard deviations that it goes on beyond the mode


@singledispatch
def divergence(q: Any, prior: Any) -> Array:
    """The Kullback–Leibler divergence KL(q ‖ prior), summed over all entries.

    Args:
        q: the distribution of a site.
        prior: without plates, as large as the site.

    >>> import numpyro.distributions as dist
    >>> q, prior = BetaConditional(jnp.ones(2), jnp.ones(2)), dist.Beta(1.0, 1.0)
    >>> float(divergence(q, prior))
    0.0
    """
    raise UnsupportedError(
        f"variational Bayes knows no Kullback–Leibler divergence of a {type(q).__name__} from its "
        "prior: method='gibbs' draws from the same conditional distributions"
    )


@singledispatch
def drawn(q: Any, key: Array) -> Array:
    """One draw of q."""
    return q.sample(key)


# ---- probabilities -------------------------------------------------------------------------------


def _dirichlets(own: Array, prior: Array) -> Array:
    each = gammaln(own.sum(-1)) - gammaln(prior.sum(-1))
    each = each - (gammaln(own) - gammaln(prior)).sum(-1)
    return (each + ((own - prior) * DirichletConditional(own).expected_log()).sum(-1)).sum()


@divergence.register
def _(q: DirichletConditional, prior: Any) -> Array:
    return _dirichlets(q.concentration, prior.concentration)


@divergence.register
def _(q: BlockDirichletConditional, prior: Any) -> Array:
    prior = jnp.broadcast_to(prior.concentration, q.concentration.shape)
    pairs = zip(split_blocks(q.concentration, q.blocks), split_blocks(prior, q.blocks), strict=True)
    total = jnp.zeros(())
    for own, before in pairs:
        total = total + _dirichlets(own, before)
    return total


@divergence.register
def _(q: BetaConditional, prior: Any) -> Array:
    own = q.dirichlet().concentration
    before = jnp.stack([prior.concentration1, prior.concentration0], -1)
    return _dirichlets(own, jnp.broadcast_to(before, own.shape))


# ---- rates and scales ----------------------------------------------------------------------------


def _gammas(own: Array, rate: Array, prior: Any, prior_rate: Array) -> Array:
    """KL of gamma distributions."""
    each = (own - prior) * digamma(own) - gammaln(own) + gammaln(prior)
    each = each + prior * (jnp.log(rate) - jnp.log(prior_rate)) + own * (prior_rate - rate) / rate
    return each.sum()


@divergence.register
def _(q: GammaConditional, prior: Any) -> Array:
    return _gammas(q.concentration, q.rate, prior.concentration, prior.rate)


@divergence.register
def _(q: InverseGammaScaleConditional, prior: Any) -> Array:
    """Of the precisions, whose distributions are gamma."""
    return _gammas(q.concentration, q.rate, prior.concentration, prior.rate)


@divergence.register
def _(q: InverseWishartConditional, prior: Any) -> Array:
    """Of the precision matrices, whose distributions are Wishart (Bishop 2006, appendix B)."""
    size = q.scale_matrix.shape[-1]
    own, before = jnp.asarray(q.concentration), prior.concentration
    inner = jnp.linalg.solve(q.scale_matrix, prior.scale_matrix)
    trace = jnp.trace(inner, axis1=-2, axis2=-1)
    fold = jnp.linalg.slogdet(q.scale_matrix)[1] - jnp.linalg.slogdet(prior.scale_matrix)[1]
    each = 0.5 * before * fold + 0.5 * own * (trace - size)
    each = each + multigammaln(0.5 * before, size) - multigammaln(0.5 * own, size)
    return (each + 0.5 * (own - before) * q.digammas()).sum()


class Moments(NamedTuple):
    """Of a rate r."""

    mean: Array
    mean_log: Array


def _nodes(q: RateConditional) -> tuple[Array, Array]:
    """Nodes of log r and the logarithms of their probabilities, on a leading axis.

    The density of log r is log-concave and analytic, so that the trapezoidal rule has all digits:
    to the left of its mode it falls at least by exp(p t), to the right faster than a normal one's.
    """
    mode = q._root(q.order)
    width = (q.rate * mode + q.barrier / mode) ** -0.5
    lower, upper = -(TAIL / q.order + WIDTHS * width), WIDTHS * width
    part = jnp.linspace(0.0, 1.0, NODES, dtype=mode.dtype).reshape(-1, *[1] * mode.ndim)
    steps = lower + part * (upper - lower)
    height = q.order * steps - q.rate * mode * jnp.expm1(steps)
    height = height - q.barrier / mode * jnp.expm1(-steps)
    height = jnp.where(jnp.isfinite(height), height, -jnp.inf)
    return jnp.log(mode) + steps, height - logsumexp(height, 0)


def rate_moments(q: RateConditional) -> Moments:
    """Mean of a rate, and mean of its logarithm.

    >>> moments = rate_moments(RateConditional(*map(jnp.array, (6.0, 2.0, 0.0, 1.0))))
    >>> [round(float(v), 3) for v in moments]  # 6 / 2, and ψ(6) - log 2
    [3.0, 1.013]
    """
    logs, weights = _nodes(q)
    probability = jnp.exp(weights)
    return Moments((probability * jnp.exp(logs)).sum(0), (probability * logs).sum(0))


@divergence.register
def _(q: RateConditional, prior: Any) -> Array:
    logs, weights = _nodes(q)
    spacing = logs[1] - logs[0]
    own = weights - jnp.log(spacing)  # density of log r
    before = prior.log_prob(jnp.exp(logs)) + logs
    probability = jnp.exp(weights)
    return jnp.where(probability > 0, probability * (own - before), 0).sum()


@drawn.register
def _(q: RateConditional, key: Array) -> Array:
    """By the inverse of the distribution function, linear between the nodes."""
    logs, weights = _nodes(q)
    shape = logs.shape[1:]
    below = jnp.cumsum(jnp.exp(weights), 0)
    uniform = random.uniform(key, shape, logs.dtype) * below[-1]
    flat = jax.vmap(jnp.interp, (0, 1, 1))(
        uniform.reshape(-1), below.reshape(NODES, -1), logs.reshape(NODES, -1)
    )
    return jnp.exp(flat.reshape(shape))


# ---- locations -----------------------------------------------------------------------------------


@divergence.register
def _(q: NormalConditional, prior: Any) -> Array:
    variance, before = 1 / q.precision, prior.scale**2
    ratio = (variance + (q.mean - prior.loc) ** 2) / before
    return 0.5 * (ratio - 1 - jnp.log(variance) + jnp.log(before)).sum()


@divergence.register
def _(q: MultivariateNormalConditional, prior: Any) -> Array:
    """A prior of independent features."""
    covariance = q.covariance()
    size = covariance.shape[-1]
    before = jnp.broadcast_to(prior.scale**2, q.linear.shape)
    variance = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    ratio = (variance + (q.mode() - prior.loc) ** 2) / before
    each = (ratio + jnp.log(before)).sum(-1) - size + jnp.linalg.slogdet(q.precision)[1]
    return 0.5 * each.sum()
