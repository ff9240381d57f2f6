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
from ppl_models.distributions.hmm.general_emission import GeneralEmission
from ppl_models.distributions.hmm.hidden_markov import HiddenMarkov


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
            if name != "index"
        }
    flat = family.components()
    tied = family.shared_parameters
    general = flat.emission if isinstance(flat, HiddenMarkov) else None
    found = {
        name: ParameterValue(
            jnp.asarray(getattr(flat, name))[None] if name in tied else getattr(flat, name), False
        )
        for name in family.parameter_dims
    }
    if isinstance(general, GeneralEmission):
        own = {n: ParameterValue(v, False) for n, v in general.named_parameters()}
        found = {n: v for n, v in found.items() if n not in general.parameter_dims} | own
    if isinstance(flat, HiddenMarkov):  # a scale that all states share has an axis of one
        by_state = set(flat.emission.parameter_dims) - set(tied)
        found = {n: _of_states(v, flat.states) if n in by_state else v for n, v in found.items()}
    return found


def _of_states(parameter: ParameterValue, states: int) -> ParameterValue:
    """With a value for every state; one number for all of them has no axis of states."""
    value = jnp.asarray(parameter.value)
    value = value[:, None] if value.ndim == 1 else value
    component, axis, *event = value.shape
    if axis == states:
        return ParameterValue(value, parameter.rows)
    return ParameterValue(jnp.broadcast_to(value, (component, states, *event)), False)


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
