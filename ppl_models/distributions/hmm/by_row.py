"""A family whose parameters differ from row to row: one family a row, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def by_row(family: Any, value: Array, function: Callable[..., Array], *more: Array) -> Array:
    """A function of a family and a row, with NumPy broadcasting of parameters and rows.

    Args:
        family: its batch axes are broadcast with those of the rows.
        value: rows ``(..., event)``.
        function: takes a family without batch axes, one row ``(1, event)`` and one of each of
            ``more``, and returns ``(1, ...)``.
        more: arrays with an entry a row.
    """
    event_shape = family.event_shape
    batch = jnp.broadcast_shapes(value.shape[: -family.event_dim], family.batch_shape)
    rows = jnp.broadcast_to(value, (*batch, *event_shape)).reshape(-1, *event_shape)
    own, over = {}, {}
    for name, dims in family.parameter_dims.items():
        parameter, shared = getattr(family, name), name in family.shared_parameters
        event = parameter.shape[parameter.ndim - dims :]
        if not shared:
            parameter = jnp.broadcast_to(parameter, (*batch, *event)).reshape(-1, *event)
        own[name], over[name] = parameter, None if shared else 0

    def one(parameters: dict[str, Array], row: Array, *rest: Array) -> Array:
        return function(family.replace(**parameters), row[None], *rest)[0]

    results = jax.vmap(one, (over, 0, *[0] * len(more)))(own, rows, *more)
    return results.reshape(*batch, *results.shape[1:])
