"""Axes of the global sites that run over clusters and over hidden states, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.program.parameters.parameter_map import ParameterLink, ParameterMap
from ppl_models.program.trace.structure import Structure


def cluster_axes(structure: Structure, parameter_map: ParameterMap) -> dict[str, tuple[int, ...]]:
    """The axes of every site that the assignment indexes (the plate's name may be any).

    An axis over some of the clusters only, beside a component of noise, is none of them; nor is
    the first axis of weights by group.
    """
    dims = {site.name: site.dims for site in structure.sites}
    lengths = {site.name: site.shape[:1] for site in structure.sites}
    indexed = {
        dims[w.site][0]
        for w in parameter_map.links
        if not (w.shared and w.emission != structure.assignment)
        and not weights_by_group(structure, w)
        and lengths[w.site] >= (structure.clusters,)
    }
    return {n: tuple(i for i, d in enumerate(ds) if d in indexed) for n, ds in dims.items()}


def weights_by_group(structure: Structure, link: ParameterLink) -> bool:
    """Whether a site has the weights of several groups, which its first axis runs over."""
    axes = {site.name: len(site.shape) for site in structure.sites}
    is_weights = link.emission == structure.assignment and structure.chain is None
    return is_weights and axes.get(link.site, 1) > 1


#: names of a transition table's axes, the last one first
STATE_AXES = ("next_state", "state", "previous_state")
#: parameters of a hidden chain all of whose axes run over states
CHAIN = ("initial", "initial_transition", "transition")


def state_axes(
    structure: Structure, parameter_map: ParameterMap, states: int
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """The axes of every site that run over hidden states, and their names.

    A transition matrix, known from the parameter map or by the names of its axes, gives the names
    of the axes of states and of next states (of second order, of previous states too). Every other
    site with the axis of states runs over states as well.
    """
    dims = {site.name: site.dims for site in structure.sites}
    shapes = {site.name: site.shape for site in structure.sites}
    rows = [dims[w.site] for w in parameter_map.links if w.parameter == "transition"]
    known = [d for d in dims.values() if d[-2:] == ("state", "next_state")]
    rows += sorted(known, key=len, reverse=True)  # a transition before what only starts the chain
    if not rows:
        return {}
    names = dict(zip(rows[0][::-1], STATE_AXES, strict=False))
    axes = {}
    for name, own in dims.items():
        chosen = tuple(
            i for i, d in enumerate(own) if d in names and shapes[name][i] in (states, states + 1)
        )
        if chosen:
            axes[name] = (chosen, tuple(names[own[i]] for i in chosen))
    return axes


def permute_clusters(
    values: Mapping[str, Any], axes: Mapping[str, tuple[int, ...]], order: np.ndarray | Array
) -> dict[str, Any]:
    """Global sites with their clusters in another order."""
    moved = dict(values)
    for name, value in values.items():
        numbers: Any = jnp
        if not isinstance(value, jax.core.Tracer) and not isinstance(order, jax.core.Tracer):
            numbers, value = np, np.asarray(value)  # JAX would compile it for every shape
        for axis in axes.get(name, ()):
            rest = np.arange(len(order), value.shape[axis])  # the column of an end stays last
            value = value.take(numbers.concatenate([order, rest]) if len(rest) else order, axis)
        moved[name] = value
    return moved


def site_dims(
    structure: Structure, parameter_map: ParameterMap, states: int
) -> dict[str, tuple[str, ...]]:
    """Names of every global site's axes, as a result has them.

    The axis that the assignment indexes is called "cluster" whatever its plate is called, those
    that run over hidden states "state", "next_state" and "previous_state".
    """
    by_site = cluster_axes(structure, parameter_map) if structure.assignment else {}
    indexed = {site.dims[axis] for site in structure.sites for axis in by_site.get(site.name, ())}
    over_states = state_axes(structure, parameter_map, states) if states else {}
    names = {}
    for site in structure.sites:
        axes, called = over_states.get(site.name, ((), ()))
        named = dict(zip(axes, called, strict=True))
        dims = (named.get(i, d) for i, d in enumerate(site.dims))
        named_dims = tuple("cluster" if d in indexed else d for d in dims)
        # a plate over some of the clusters only, beside a component of noise, is another axis
        names[site.name] = tuple(
            "cluster_plate" if d == "cluster" and site.shape[i] != structure.clusters else d
            for i, d in enumerate(named_dims)
        )
    return names
