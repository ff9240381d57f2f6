"""Priors without plates, their parameters as large as the site, and parts of them."""

from __future__ import annotations

import inspect
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from ppl_models.distributions.priors.scales_and_blocks import plain
from ppl_models.errors import UnsupportedError


def plain_prior(prior: Any, shape: tuple[int, ...]) -> Any:
    """The prior without plates and ``to_event``, its parameters as large as the site.

    Returns None for a flat prior.
    """
    base = plain(prior)
    if isinstance(base, dist.ImproperUniform | dist.Unit):
        return None
    event = base.event_dim
    target = shape[: len(shape) - event]
    if isinstance(base, dist.InverseWishart):
        scale = jnp.broadcast_to(base.scale_matrix, shape)
        freedom = jnp.broadcast_to(base.concentration, target)
        return dist.InverseWishart(freedom, scale_matrix=scale, validate_args=False)
    own, static = base.get_args(), _static_arguments(base)
    constructor = set(inspect.signature(type(base)).parameters)
    if constructor - {"validate_args"} != {*own, *static}:
        return base  # made of other distributions, or by other parameters than it keeps
    arguments: dict[str, Any] = {}
    for name, value in own.items():
        value = jnp.asarray(
            value, jnp.result_type(value, float)
        )  # dist.Normal(0, 2) is of integers
        own_event = value.ndim - len(base.batch_shape) if value.ndim > len(base.batch_shape) else 0
        tail = value.shape[value.ndim - own_event :] if own_event else ()
        arguments[name] = jnp.broadcast_to(value, target + tail)
    if "validate_args" in constructor:
        arguments["validate_args"] = False  # the parameters are a valid prior's
    return type(base)(**arguments, **static)


def _static_arguments(prior: Any) -> dict[str, Any]:
    """Arguments of a distribution's constructor that are not arrays, such as lengths of blocks."""
    fields = type(prior).gather_pytree_aux_fields()
    return {n: getattr(prior, n) for n in fields if not n.startswith("_")}


def part_of(prior: Any, index: Any, site: str) -> Any:
    """Some of the independent distributions that a prior is made of.

    Args:
        prior: of :func:`plain_prior`, one distribution for every batch entry.
        index: of its batch axes.
        site: for the message.

    Raises:
        UnsupportedError: a distribution that is not told by its parameters.

    >>> part_of(dist.Normal(jnp.arange(3.0), 1.0).expand([3]), jnp.array([2]), "loc").mean.tolist()
    [2.0]
    """
    broadcast = plain_prior(prior, (*prior.batch_shape, *prior.event_shape))
    if broadcast is None:
        raise UnsupportedError(
            f"fixed holds a part of '{site}', whose prior is flat: hold all of it, or none"
        )
    prior = broadcast
    if isinstance(prior, dist.InverseWishart):
        scale = prior.scale_matrix[index]
        return dist.InverseWishart(prior.concentration[index], scale_matrix=scale)
    own, static = prior.get_args(), _static_arguments(prior)
    if set(inspect.signature(type(prior)).parameters) - {"validate_args"} != {*own, *static}:
        raise UnsupportedError(
            f"fixed holds a part of '{site}', whose prior {type(prior).__name__} is made of other "
            "distributions, so that no part of it is known: hold all of it, or none"
        )
    return type(prior)(**{n: v[index] for n, v in own.items()}, **static)
