"""NumPyro's own distributions read as the exponential families of this package.

A program may be written with ``dist.Normal(loc[z], scale[z]).to_event(1)``: its emission is turned
into the family with the same density here, so that it gets the same methods at the same speed.
A family states what it stands for itself, see ``ExponentialFamily.numpyro_classes``.
"""

from __future__ import annotations

from typing import Any

import numpyro.distributions as dist

from ppl_models.distributions.described import Described
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.registry import equivalent


def unwrap(distribution: Any) -> Any:
    """The distribution without the expansion that plates put around it."""
    while isinstance(distribution, dist.ExpandedDistribution):
        distribution = distribution.base_dist
    return distribution


def is_own(distribution: Any) -> bool:
    """Whether it is an emission of this package (or a subclass of one), or is read as such.

    These know their missing cells, and have a density on all data that they take.
    """
    return isinstance(unwrap(distribution), Described) or as_family(distribution) is not None


def as_family(distribution: Any) -> ExponentialFamily | None:
    """The exponential family with the same density, or None where there is none.

    >>> import jax.numpy as jnp
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
    family = equivalent(type(base), event_dims)
    return family.from_numpyro(base, distribution.event_shape) if family else None
