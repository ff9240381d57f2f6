"""Which global site is which parameter of which emission, found by varying one at a time.

A site that is an emission's parameter as it stands (one value a cluster, or one for all) and on
which nothing else depends has a posterior in closed form given the statistics, wherever family and
prior are conjugate. All others are left to an optimiser or a sampler on the same statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.program.model import Globals, Model, Pieces, evaluate
from ppl_models.program.structure import Structure


@dataclass(frozen=True)
class ParameterLink:
    """A site that is a parameter of an emission (of the assignment: parameter "probs")."""

    site: str
    emission: str
    parameter: str
    shared: bool


@dataclass(frozen=True)
class ParameterMap:
    """Sites that are parameters, sites that are anything else, and priors that depend on sites.

    ``sticks`` is the free site that the weights are broken off by, if there is one.
    """

    links: tuple[ParameterLink, ...]
    free: tuple[str, ...]
    dependent: tuple[str, ...] = ()
    sticks: str | None = None

    def of(self, emission: str) -> tuple[ParameterLink, ...]:
        """The wires that end at an emission."""
        return tuple(w for w in self.links if w.emission == emission)


def parameter_map(model: Model, structure: Structure) -> ParameterMap:
    """Find the wires by evaluating the program at a few random points.

    Args:
        model: the program with its data.
        structure: what was read off its trace.

    Returns:
        The wires, and the names of the sites that are none.
    """
    start = structure.initial(random.key(1))
    other = structure.initial(random.key(2))
    base = evaluate(model, start, structure=structure)
    links, free = [], []
    dependent: set[str] = set()
    sticks = None
    # (the weights of one cluster have no freedom, and nothing to be found)
    for site in (s.name for s in structure.sites if s.freedom):
        moved_globals = {**start, site: other[site]}
        moved = evaluate(model, moved_globals, structure=structure)
        changed = [n for n in base.priors if not _same(base.priors[n], moved.priors[n])]
        dependent.update(changed)
        link = None
        if not changed:
            link = _find(site, structure, base, moved, start, moved_globals)
        if link is None:
            free.append(site)
            pairs = [(base, start[site]), (moved, other[site])]
            if not changed and all(_breaks(p, structure, v) for p, v in pairs):
                sticks = site
        else:
            links.append(link)
    return ParameterMap(tuple(links), tuple(free), tuple(sorted(dependent)), sticks)


def _find(
    site: str, structure: Structure, base: Pieces, moved: Pieces, start: Globals, end: Globals
) -> ParameterLink | None:
    before, after = _parameters(base, structure), _parameters(moved, structure)
    changed = [key for key in before if not np.array_equal(before[key], after[key])]
    if len(changed) != 1:
        return None
    emission, parameter = changed[0]
    pairs = [(before[changed[0]], start[site]), (after[changed[0]], end[site])]
    if all(_equal(p, s) for p, s in pairs):
        return ParameterLink(site, emission, parameter, shared=False)
    if all(_fits(s, p) and _equal(p, np.broadcast_to(s, np.shape(p))) for p, s in pairs):
        return ParameterLink(site, emission, parameter, shared=True)
    return None


def _breaks(pieces: Pieces, structure: Structure, sticks: Any) -> bool:
    """Whether the weights are v_k prod_{j<k} (1 - v_j) of the sticks v, the last one's being 1."""
    probs = getattr(pieces.weights, "probs", None)
    if probs is None or np.shape(sticks) != (structure.clusters - 1,):
        return False
    left = np.append(1.0, np.cumprod(1 - np.asarray(sticks)))
    return np.allclose(np.ravel(probs), np.append(sticks, 1.0) * left, rtol=1e-5)


def _parameters(pieces: Pieces, structure: Structure) -> dict[tuple[str, str], np.ndarray]:
    """Every parameter of every emission, ``(component, ...)``, one component for tied ones."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for name, family in pieces.families().items():
        for parameter in family.parameter_dims:
            value = np.asarray(getattr(family, parameter))
            found[name, parameter] = value[None] if parameter in family.shared_parameters else value
    if structure.assignment is not None and hasattr(pieces.weights, "probs"):
        found[structure.assignment, "probs"] = np.asarray(pieces.weights.probs)
    return found


def _same(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def _equal(parameter: Any, site: Any) -> bool:
    return np.shape(parameter) == np.shape(site) and np.allclose(parameter, site, rtol=1e-5)


def _fits(site: Any, parameter: Any) -> bool:
    """Whether the site is the parameter without its component axis."""
    return np.shape(parameter)[1:] == np.shape(site)


def cluster_axes(structure: Structure, found: ParameterMap) -> dict[str, tuple[int, ...]]:
    """The axes of every site that the assignment indexes (the plate's name may be any)."""
    dims = {site.name: site.dims for site in structure.sites}
    indexed = {
        dims[w.site][0]
        for w in found.links
        if (not w.shared or w.emission == structure.assignment) and dims[w.site]
    }
    return {n: tuple(i for i, d in enumerate(ds) if d in indexed) for n, ds in dims.items()}


#: names of a transition table's axes, the last one first
STATE_AXES = ("next_state", "state", "previous_state")
#: parameters of a hidden chain all of whose axes run over states
CHAIN = ("initial", "initial_transition", "transition")


def state_axes(
    structure: Structure, found: ParameterMap, states: int
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """The axes of every site that run over the states of hidden paths, and what they are called.

    A transition matrix, found by its wire (or by the name of its axes), names the axis of the
    states and that of the following ones, and of second order the axis of those before; every other
    site with the first of these runs over states too.
    """
    dims = {site.name: site.dims for site in structure.sites}
    shapes = {site.name: site.shape for site in structure.sites}
    rows = [dims[w.site] for w in found.links if w.parameter == "transition"]
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
        for axis in axes.get(name, ()):
            rest = np.arange(len(order), value.shape[axis])  # the column of an end stays last
            value = value.take(jnp.concatenate([order, rest]) if len(rest) else order, axis)
        moved[name] = value
    return moved


def exchangeable_states(
    model: Model, structure: Structure, found: ParameterMap, states: int
) -> bool:
    """Whether the states of hidden paths may change places."""
    axes = {n: a for n, (a, _) in state_axes(structure, found, states).items()}
    if structure.assignment is not None or states == 1 or not axes:
        return False
    values = structure.initial(random.key(1))
    here = evaluate(model, values, structure=structure)
    before = _parameters(here, structure)
    tied = {
        (name, parameter)
        for name, family in here.families().items()
        for parameter in family.shared_parameters
    }
    swapped = np.r_[1, 0, np.arange(2, states)]
    for order in (swapped, np.roll(np.arange(states), 1)):
        there = evaluate(model, permute_clusters(values, axes, order), structure=structure)
        if not np.isclose(here.log_prior, there.log_prior, rtol=1e-5):
            return False
        after = _parameters(there, structure)
        for key, value in before.items():
            moves = tuple(range(1, value.ndim)) if key[1] in CHAIN else (1,)
            moves = () if key in tied else moves
            expected = permute_clusters({"p": value}, {"p": moves}, order)["p"]
            if not np.allclose(expected, after[key], rtol=1e-5, atol=1e-7):
                return False
    return True


def components_move(model: Model, structure: Structure, found: ParameterMap) -> bool:
    """Whether the emissions' components change places when the sites' clusters do.

    Not so where a constant of the program or a site that is held tells components apart.
    """
    axes = cluster_axes(structure, found)
    values = structure.initial(random.key(1))
    here = _parameters(evaluate(model, values, structure=structure), structure)
    order = np.roll(np.arange(structure.clusters), 1)
    moved = permute_clusters(values, axes, order)
    there = _parameters(evaluate(model, moved, structure=structure), structure)
    return all(
        np.allclose(a[order] if len(a) == structure.clusters else a, there[key], rtol=1e-5)
        for key, a in here.items()
        if key[0] != structure.assignment
    )


def exchangeable(model: Model, structure: Structure, found: ParameterMap) -> bool:
    """Whether clusters may change places: all densities change places with them.

    Not so where a prior, a constant of the program or a site that is held tells clusters apart.
    """
    axes = cluster_axes(structure, found)
    clusters = structure.clusters
    if structure.assignment is None or clusters == 1 or not any(axes.values()):
        return False
    values = structure.initial(random.key(1))
    here = evaluate(model, values, structure=structure)
    swapped = np.r_[1, 0, np.arange(2, clusters)]
    for order in (swapped, np.roll(np.arange(clusters), 1)):  # these two generate all orders
        moved = permute_clusters(values, axes, order)
        there = evaluate(model, moved, structure=structure)
        if not np.isclose(here.log_prior, there.log_prior, rtol=1e-5):
            return False
        pairs = [(here.log_weights, there.log_weights)]
        before, after = _parameters(here, structure), _parameters(there, structure)
        pairs += [(before[key], after[key]) for key in before]
        for a, b in pairs:
            a = np.asarray(a)
            expected = a[order] if len(a) == clusters else a
            if not np.allclose(expected, b, rtol=1e-5):
                return False
    return True
