"""Missing cells under any of NumPyro's distributions: left out of densities, and drawn.

A cell that is independent of the others given the parameters drops out of the log-density. Vectors
of correlated normals and Student's t are marginalised in closed form. Other joint distributions of
several cells (Multinomial, Dirichlet, ...) have no marginal here: :func:`drops_out` says so.

Little and Rubin (2019), Statistical Analysis with Missing Data, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import gammaln, logsumexp
from numpyro.distributions.distribution import MaskedDistribution, Unit

from ppl_models.data.missing import has_missing, missing_cells
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.described import Described

GAUSSIANS = (dist.MultivariateNormal, dist.LowRankMultivariateNormal)
WRAPPERS = (dist.Independent, dist.ExpandedDistribution, MaskedDistribution)


def _is_own(distribution: Any) -> bool:
    return isinstance(distribution, Described)


def drops_out(distribution: Any) -> bool:
    """Whether a datum of which some cells are missing has an exact density.

    >>> drops_out(dist.StudentT(4.0, jnp.zeros(3), 1.0).to_event(1))
    True
    >>> drops_out(dist.Dirichlet(jnp.ones(3)))
    False
    """
    if _is_own(distribution) or distribution.event_dim == 0:
        return True
    if isinstance(distribution, Unit):
        return False
    if isinstance(distribution, WRAPPERS):
        return drops_out(distribution.base_dist)
    if isinstance(distribution, dist.MixtureSameFamily):
        return drops_out(distribution.component_distribution)
    if isinstance(distribution, dist.MixtureGeneral):
        return all(drops_out(part) for part in distribution.component_distributions)
    if _acts_on_cells(distribution):
        return drops_out(distribution.base_dist)
    return isinstance(distribution, (*GAUSSIANS, dist.MultivariateStudentT))


def observed_log_prob(distribution: Any, value: Any) -> Array:
    """Log-density of data, missing cells summed out; its gradient is finite.

    Args:
        distribution: NumPyro's, or a family of this package.
        value: data, broadcast with the batch axes; NaN, or a negative code, where missing. A datum
            of a distribution that :func:`drops_out` denies is observed or missing as a whole: of
            one that is missing in part the result is NaN.

    >>> float(observed_log_prob(dist.Gamma(2.0, 1.0), jnp.array([1.0, jnp.nan])).sum())
    -1.0
    """
    family = as_family(distribution)
    if family is not None:
        return family.log_prob(value)
    distribution = unwrap(distribution)
    if isinstance(distribution, Unit):  # a factor, whose data are in it
        return jnp.asarray(distribution.log_factor)
    if _is_own(distribution):
        return distribution.log_prob(value)
    if not isinstance(value, jax.core.Tracer) and not has_missing(value):
        return distribution.log_prob(_codes(distribution, jnp.asarray(value)))
    value = jnp.asarray(value)
    return _log_prob(distribution, value, ~missing_cells(value))


def _log_prob(distribution: Any, value: Array, observed: Array) -> Array:
    """Log-density of observed cells; ``observed`` has the shape of ``value``."""
    if _is_own(distribution):
        return distribution.log_prob(jnp.where(observed, value, _blank(value)))
    if distribution.event_dim == 0:
        filled = _filled(distribution, value, observed)
        return jnp.where(observed, distribution.log_prob(filled), 0)
    event_dim = distribution.event_dim
    if isinstance(distribution, dist.Independent):
        cells = _log_prob(distribution.base_dist, value, observed)
        return cells.sum(tuple(range(-distribution.reinterpreted_batch_ndims, 0)))
    if isinstance(distribution, dist.ExpandedDistribution):
        shape = jnp.broadcast_shapes(
            distribution.batch_shape, value.shape[: value.ndim - event_dim]
        )
        return jnp.broadcast_to(_log_prob(distribution.base_dist, value, observed), shape)
    if isinstance(distribution, MaskedDistribution):
        inner = _log_prob(distribution.base_dist, value, observed)
        return jnp.where(distribution._mask, inner, 0)
    if isinstance(distribution, dist.MixtureSameFamily | dist.MixtureGeneral):
        logits = jax.nn.log_softmax(distribution.mixing_distribution.logits)
        return logsumexp(logits + _of_components(distribution, value, observed), axis=-1)
    if _acts_on_cells(distribution) and drops_out(distribution):
        return _transformed(distribution, value, observed)
    if isinstance(distribution, GAUSSIANS):
        return _gaussian(distribution.loc, distribution.covariance_matrix, value, observed)[0]
    if isinstance(distribution, dist.MultivariateStudentT):
        scale = matmul(distribution.scale_tril, jnp.swapaxes(distribution.scale_tril, -1, -2))
        return _student(distribution.df, distribution.loc, scale, value, observed)
    axes = tuple(range(-event_dim, 0))
    complete_row, seen = observed.all(axes), observed.any(axes)
    everywhere = complete_row.reshape(*complete_row.shape, *[1] * event_dim)
    density = distribution.log_prob(_filled(distribution, value, everywhere))
    return jnp.where(complete_row, density, jnp.where(seen, jnp.nan, 0))


def _blank(value: Array) -> Any:
    return jnp.nan if jnp.issubdtype(value.dtype, jnp.floating) else -1


def _codes(distribution: Any, value: Array) -> Array:
    """Whole numbers as such: data with missing cells are floating-point."""
    if distribution.support.is_discrete and jnp.issubdtype(value.dtype, jnp.floating):
        return value.astype(int)
    return value


def _filled(distribution: Any, value: Array, observed: Array) -> Array:
    """Data with values of the support where cells are missing, which no gradient passes."""
    batch = value.shape[: value.ndim - distribution.event_dim]
    batch = jnp.broadcast_shapes(batch, distribution.batch_shape)
    spread = jnp.broadcast_to(value, (*batch, *value.shape[value.ndim - distribution.event_dim :]))
    possible = distribution.support.feasible_like(jnp.zeros_like(spread))
    filled = jnp.where(observed, spread, jax.lax.stop_gradient(possible).astype(value.dtype))
    return _codes(distribution, filled)


def term_log_probs(mixture: Any, value: Array) -> Array:
    """Joint log-densities of term and observed cells, of a mixture distribution, ``(..., term)``.

    >>> mixture = dist.MixtureSameFamily(dist.Categorical(jnp.array([0.5, 0.5])), dist.Normal(
    ...     jnp.array([0.0, 1.0]), 1.0))
    >>> (term_log_probs(mixture, jnp.array([jnp.nan])) / jnp.log(2)).round(3).tolist()
    [[-1.0, -1.0]]
    """
    weights = jax.nn.log_softmax(mixture.mixing_distribution.logits)
    return weights + _of_components(mixture, value, ~missing_cells(value))


def _of_components(distribution: Any, value: Array, observed: Array) -> Array:
    """Log-densities under the components of a mixture, on a last axis."""
    if isinstance(distribution, dist.MixtureGeneral):
        parts = [_log_prob(p, value, observed) for p in distribution.component_distributions]
        return jnp.stack(jnp.broadcast_arrays(*parts), axis=-1)
    place = -1 - distribution.event_dim
    value, observed = jnp.expand_dims(value, place), jnp.expand_dims(observed, place)
    return _log_prob(distribution.component_distribution, value, observed)


# ---- transforms of each cell -------------------------------------------------------------------


def _acts_on_cells(distribution: Any) -> bool:
    """Whether it is another distribution of which every cell is transformed for itself."""
    return isinstance(distribution, dist.TransformedDistribution) and all(
        t.domain.event_dim == 0 and t.codomain.event_dim == 0 for t in distribution.transforms
    )


def _transformed(distribution: Any, value: Array, observed: Array) -> Array:
    """log p(y) = log p(x) - Σ log |dy/dx| over the observed cells."""
    axes, filled = tuple(range(-distribution.event_dim, 0)), _filled(distribution, value, observed)
    log_volume, cells = jnp.zeros(()), filled
    for transform in reversed(distribution.transforms):
        inner = transform.inv(cells)
        change = transform.log_abs_det_jacobian(inner, cells)
        change = jnp.where(observed, jnp.broadcast_to(change, cells.shape), 0)
        log_volume, cells = log_volume + change.sum(axes), inner
    return _log_prob(distribution.base_dist, cells, observed) - log_volume


# ---- correlated cells --------------------------------------------------------------------------


def _gaussian(
    loc: Array, covariance: Array, value: Array, observed: Array
) -> tuple[Array, Array, Array, Array]:
    """Log-density of observed cells, and what it is made of.

    Rows and columns of missing cells are those of the identity, so that they add nothing to the
    squares and to the determinant.

    Returns:
        Log-density, squared length, half the log-determinant, number of observed cells.
    """
    shift = jnp.where(observed, jnp.where(observed, value, 0) - loc, 0)
    both = observed[..., :, None] & observed[..., None, :]
    factor = jnp.linalg.cholesky(jnp.where(both, covariance, jnp.eye(value.shape[-1])))
    factor = jnp.broadcast_to(factor, (*shift.shape, shift.shape[-1]))
    white = jax.lax.linalg.triangular_solve(factor, shift[..., None], left_side=True, lower=True)
    squares = (white[..., 0] ** 2).sum(-1)
    half = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    count = observed.sum(-1)
    return -0.5 * (squares + count * math.log(2 * math.pi)) - half, squares, half, count


def _student(df: Array, loc: Array, scale: Array, value: Array, observed: Array) -> Array:
    """A part of a vector of Student's t is one too, with as many degrees of freedom."""
    _, squares, half, count = _gaussian(loc, scale, value, observed)
    constant = gammaln((df + count) / 2) - gammaln(df / 2) - 0.5 * count * jnp.log(df * jnp.pi)
    return constant - half - 0.5 * (df + count) * jnp.log1p(squares / df)


# ---- draws -------------------------------------------------------------------------------------


def complete(distribution: Any, key: Array, value: Array) -> Array:
    """Draw the missing cells of data given the observed ones.

    Args:
        distribution: NumPyro's, or a family of this package.
        key: random key.
        value: ``batch + event``, floating-point with NaN, or codes that are negative, where cells
            are missing.

    >>> filled = complete(dist.Poisson(3.0), random.key(0), jnp.array([jnp.nan, 2.0]))
    >>> bool(filled[0] >= 0), float(filled[1])
    (True, 2.0)
    """
    distribution = unwrap(distribution)
    missing = missing_cells(value)
    if _is_own(distribution):
        return distribution.complete(key, value)
    event_dim = distribution.event_dim
    if event_dim == 0 or not drops_out(distribution):
        batch = value.shape[: value.ndim - event_dim]
        drawn = _expanded(distribution, batch).sample(key).astype(value.dtype)
        return jnp.where(missing, drawn, value)
    if isinstance(distribution, WRAPPERS):
        return complete(distribution.base_dist, key, value)
    if isinstance(distribution, dist.MixtureSameFamily | dist.MixtureGeneral):
        return _complete_mixture(distribution, key, value, missing)
    if _acts_on_cells(distribution):
        inner = _filled(distribution, value, ~missing)
        for transform in reversed(distribution.transforms):
            inner = transform.inv(inner)
        outer = complete(distribution.base_dist, key, jnp.where(missing, jnp.nan, inner))
        for transform in distribution.transforms:
            outer = transform(outer)
        return jnp.where(missing, outer, value)
    cells_key, width_key = random.split(key)
    if isinstance(distribution, GAUSSIANS):
        return _complete_gaussian(
            cells_key, distribution.loc, distribution.covariance_matrix, value, missing
        )
    # Student's t is a normal of a drawn width, which the observed cells tell of
    scale = matmul(distribution.scale_tril, jnp.swapaxes(distribution.scale_tril, -1, -2))
    _, squares, _, count = _gaussian(distribution.loc, scale, value, ~missing)
    width = random.gamma(width_key, (distribution.df + count) / 2) * 2 / (distribution.df + squares)
    covariance = scale / width[..., None, None]
    return _complete_gaussian(cells_key, distribution.loc, covariance, value, missing)


def _expanded(distribution: Any, batch: Sequence[int]) -> Any:
    batch = tuple(batch)
    return distribution if distribution.batch_shape == batch else distribution.expand(batch)


def _complete_gaussian(
    key: Array, loc: Array, covariance: Array, value: Array, missing: Array
) -> Array:
    """A draw of all cells, moved by the regression of the missing on the observed ones."""
    shape = value.shape
    factor = jnp.linalg.cholesky(covariance)
    noise = random.normal(key, shape, value.dtype)
    drawn = loc + matmul(factor, noise[..., None])[..., 0]
    both = ~missing[..., :, None] & ~missing[..., None, :]
    seen = jnp.where(both, covariance, jnp.eye(shape[-1]))
    short = jnp.where(missing, 0, jnp.where(missing, 0, value) - drawn)
    weights = jnp.linalg.solve(seen, short[..., None])
    moved = drawn + matmul(jnp.broadcast_to(covariance, (*shape, shape[-1])), weights)[..., 0]
    return jnp.where(missing, moved, value)


def _complete_mixture(distribution: Any, key: Array, value: Array, missing: Array) -> Array:
    """Draw a component given the observed cells, and the missing ones from it."""
    choice_key, cells_key = random.split(key)
    logits = jax.nn.log_softmax(distribution.mixing_distribution.logits)
    logits = logits + _of_components(distribution, value, ~missing)
    chosen = random.categorical(choice_key, logits)
    place = -1 - distribution.event_dim
    if isinstance(distribution, dist.MixtureGeneral):
        parts = distribution.component_distributions
        keys = random.split(cells_key, len(parts))
        each = [complete(p, k, value) for p, k in zip(parts, keys, strict=True)]
        filled = jnp.stack(each, axis=place)
    else:
        components = logits.shape[-1]
        spread = jnp.expand_dims(value, place)
        shape = (*value.shape[: value.ndim + place + 1], components, *distribution.event_shape)
        filled = complete(
            distribution.component_distribution, cells_key, jnp.broadcast_to(spread, shape)
        )
    index = chosen.reshape(*chosen.shape, *[1] * (1 + distribution.event_dim))
    return jnp.take_along_axis(filled, index, axis=place).squeeze(place)
