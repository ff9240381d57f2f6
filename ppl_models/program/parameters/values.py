"""Parameters of an emission in one shape, ``(component, ...)``, whatever its distribution.

Run with the assignment at all its values, a program's emission has a component for each. Parameters
of an exponential family are those that it declares, those of other distributions are what NumPyro's
``arg_constraints`` name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions.distribution import MaskedDistribution

from ppl_models.distributions.convert import as_family, unwrap


@dataclass(frozen=True)
class ParameterValue:
    """A parameter ``(component, ...)``, or ``(component, row, ...)`` where rows differ in it."""

    value: Any
    rows: bool


def named_parameters(emission: Any, clusters: int) -> dict[str, ParameterValue]:
    """Parameters of an emission by name, at given values of the global sites.

    Args:
        emission: its distribution, of all components at once.
        clusters: number of components.
    """
    family = as_family(emission)
    if family is None:
        return _by_constraints(emission, clusters)
    if family.batch_shape and family.batch_shape[-1] != 1:
        return {
            name: _spread(getattr(family, name), dims, clusters)
            for name, dims in family.parameter_dims.items()
            if name not in family.unreported_parameters
        }
    named = family.components().named_parameters()
    return {name: ParameterValue(value, False) for name, value in named.items()}


def own_distribution(distribution: Any) -> Any:
    """The distribution without plates' expansion, ``to_event`` and masks."""
    wrappers = (dist.Independent, dist.ExpandedDistribution, MaskedDistribution)
    while isinstance(distribution, wrappers):
        distribution = distribution.base_dist
    return distribution


def _by_constraints(emission: Any, clusters: int) -> dict[str, ParameterValue]:
    """Parameters of NumPyro's distributions, those of what they are built on too."""
    level, event_dims = unwrap(emission), 0
    parameters: dict[str, ParameterValue] = {}
    while level is not None:
        if isinstance(level, dist.Independent):
            event_dims += level.reinterpreted_batch_ndims
        for name, constraint in level.arg_constraints.items():
            if name in parameters or hasattr(type(level), name):
                continue  # computed from other arguments
            value = getattr(level, name, None)
            if value is None:
                continue
            dims = constraint.event_dim if isinstance(constraint.event_dim, int) else 0
            parameters[name] = _spread(value, event_dims + dims, clusters)
        level = getattr(level, "base_dist", None)
    return parameters


def _spread(value: Any, event_dims: int, clusters: int) -> ParameterValue:
    """A parameter with its component axis in front, and that of the rows where it has one.

    Args:
        value: ``([component, row], event axes)``, of which leading ones may be absent.
        event_dims: axes that belong to the event or to the parameter itself.
        clusters: number of components.
    """
    value = jnp.asarray(value)
    outer = value.shape[: max(0, value.ndim - event_dims)]
    event = value.shape[len(outer) :]
    outer = (1,) * (2 - len(outer)) + outer
    component, row = outer[-2:]
    value = value.reshape(component, row, *event)
    if row == 1:
        return ParameterValue(jnp.broadcast_to(value[:, 0], (clusters, *event)), False)
    return ParameterValue(jnp.broadcast_to(value, (clusters, row, *event)), True)
