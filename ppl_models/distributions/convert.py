"""NumPyro's own distributions read as the exponential families of this package.

A program may be written with ``dist.Normal(loc[z], scale[z]).to_event(1)``: its emission is turned
into the family with the same density here, so that it gets the same methods at the same speed.
A further distribution is one entry of ``CONVERSIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array

from ppl_models.distributions.exponential.bernoulli import BernoulliVector
from ppl_models.distributions.exponential.categorical import CategoricalVector
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.exponential.gaussian import (
    DiagonalGaussian,
    SphericalGaussian,
    UnivariateGaussian,
)
from ppl_models.distributions.exponential.gaussian_matrix import FullGaussian, TiedGaussian
from ppl_models.distributions.exponential.poisson import PoissonVector


def unwrap(distribution: Any) -> Any:
    """The distribution without the expansion that plates put around it."""
    while isinstance(distribution, dist.ExpandedDistribution):
        distribution = distribution.base_dist
    return distribution


def as_family(distribution: Any) -> ExponentialFamily | None:
    """The exponential family with the same density, or None where there is none.

    >>> type(as_family(dist.Normal(jnp.zeros((3, 1, 2)), 1.0).to_event(1))).__name__
    'SphericalGaussian'
    """
    distribution = unwrap(distribution)
    if isinstance(distribution, ExponentialFamily):
        return distribution
    base, event_dims = distribution, 0
    while isinstance(base, dist.Independent | dist.ExpandedDistribution):
        if isinstance(base, dist.Independent):
            event_dims += base.reinterpreted_batch_ndims
        base = base.base_dist
    convert = CONVERSIONS.get((type(base), event_dims))
    return convert(base, distribution) if convert else None


def _spread(parameter: Any, distribution: Any) -> Array:
    """A parameter with the whole event shape, batch axes left as they are."""
    parameter = jnp.asarray(parameter)
    event = distribution.event_shape
    return jnp.broadcast_to(parameter, jnp.broadcast_shapes(parameter.shape, event))


def _normal_vector(base: Any, whole: Any) -> ExponentialFamily:
    loc, scale = _spread(base.loc, whole), jnp.asarray(base.scale)
    if scale.ndim == 0:
        return SphericalGaussian(loc, scale)
    if scale.shape[-1] == 1 and whole.event_shape[0] > 1:
        return SphericalGaussian(loc, scale[..., 0])
    return DiagonalGaussian(loc, _spread(scale, whole))


def _multivariate_normal(base: Any, whole: Any) -> ExponentialFamily:
    covariance = base.covariance_matrix
    while covariance.ndim > 2 and covariance.shape[0] == 1:
        covariance = covariance[0]
    if covariance.ndim == 2:
        return TiedGaussian(base.loc, covariance)
    return FullGaussian(base.loc, covariance)


def _bernoulli_vector(base: Any, whole: Any) -> ExponentialFamily:
    return BernoulliVector(_spread(base.probs, whole))


def _categorical(base: Any, whole: Any) -> ExponentialFamily | None:
    probs = jnp.asarray(base.probs)
    features = whole.event_shape
    if not features:
        return None
    levels = probs.shape[-1]
    probs = jnp.broadcast_to(probs, jnp.broadcast_shapes(probs.shape, (*features, levels)))
    return CategoricalVector(probs.reshape(*probs.shape[:-2], -1), (levels,) * features[0])


def _poisson(base: Any, whole: Any) -> ExponentialFamily:
    if whole.event_shape:
        return PoissonVector(_spread(base.rate, whole))
    return PoissonVector(base.rate, univariate=True)


CONVERSIONS: dict[tuple[type, int], Callable[[Any, Any], ExponentialFamily | None]] = {
    (dist.Normal, 0): lambda base, _: UnivariateGaussian(base.loc, base.scale),
    (dist.Normal, 1): _normal_vector,
    (dist.MultivariateNormal, 0): _multivariate_normal,
    (dist.BernoulliProbs, 1): _bernoulli_vector,
    (dist.BernoulliLogits, 1): _bernoulli_vector,
    (dist.CategoricalProbs, 1): _categorical,
    (dist.CategoricalLogits, 1): _categorical,
    (dist.Poisson, 0): _poisson,
    (dist.Poisson, 1): _poisson,
}
