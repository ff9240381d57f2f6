"""Whether clusters, or hidden states, may change places without a change of the density.

Both are tested on the program itself, by evaluating it with the labels of all sites permuted. The
labels are not exchangeable where a prior, a constant or a held site tells clusters apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array

from ppl_models.distributions.convert import as_family
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.priors.scales_and_blocks import plain
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import Globals, Model, evaluate
from ppl_models.program.parameters.axes import CHAIN, cluster_axes, permute_clusters, state_axes
from ppl_models.program.parameters.parameter_map import ParameterMap, all_parameters
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class LabelSwaps:
    """What a label swap permutes, where clusters are not exchangeable.

    Args:
        axes: axes of the sites that are permuted with the clusters.
        sticks: the site of the stick-breaking proportions of the weights, if there is one.
    """

    axes: Mapping[str, tuple[int, ...]]
    sticks: str | None


def orders(count: int) -> Iterator[np.ndarray]:
    """Two permutations that generate all others: the first two swapped, and a rotation."""
    yield np.r_[1, 0, np.arange(2, count)]
    yield np.roll(np.arange(count), 1)


def clusters_exchangeable(model: Model, structure: Structure, parameter_map: ParameterMap) -> bool:
    """Whether all densities change places with the clusters' sites."""
    axes = cluster_axes(structure, parameter_map)
    if structure.assignment is None or structure.clusters == 1 or not any(axes.values()):
        return False
    if structure.coupled:  # which is asked of its tables, see ``component_densities``
        return False
    values = structure.initial(make_key(1))
    here = evaluate(model, values, structure=structure)
    for order in orders(structure.clusters):
        moved = permute_clusters(values, axes, order)
        there = evaluate(model, moved, structure=structure)
        if not np.isclose(here.log_prior, there.log_prior, rtol=1e-5):
            return False
        before, after = np.asarray(here.log_weights), np.asarray(there.log_weights)
        if not np.allclose(before[order], after, rtol=1e-5):
            return False
        if not _emissions_move(model, structure, (values, here), (moved, there), order):
            return False
    return True


def components_move(model: Model, structure: Structure, parameter_map: ParameterMap) -> bool:
    """Whether the emissions' components change places when the sites' clusters do."""
    axes = cluster_axes(structure, parameter_map)
    values = structure.initial(make_key(1))
    order = np.roll(np.arange(structure.clusters), 1)
    moved = permute_clusters(values, axes, order)
    here, there = (evaluate(model, v, structure=structure) for v in (values, moved))
    return _emissions_move(model, structure, (values, here), (moved, there), order)


def _emissions_move(
    model: Model,
    structure: Structure,
    before: tuple[Globals, Pieces],
    after: tuple[Globals, Pieces],
    order: np.ndarray,
) -> bool:
    """Whether components have changed places: by their parameters, or by their densities.

    The parameters of a family are all that its density depends on, and need no pass over the data;
    of other distributions, and beside a component of noise, they may not be.
    """
    (values, here), (moved, there) = before, after
    families = {n: as_family(emission) for n, emission in here.emissions.items()}
    told = {n for n, family in families.items() if family is not None and not family.last_is_noise}
    known = set() if structure.panel else told - set(structure.indexed)
    parameters, others = (all_parameters(p, structure) for p in (here, there))
    for (site, name), parameter in parameters.items():
        if site not in known:
            continue
        own = parameter.value
        expected = own[order] if len(own) == structure.clusters else own
        if not np.allclose(expected, others[site, name].value, rtol=1e-5):
            return False
    unknown = tuple(n for n in structure.emissions if n not in known)
    if not unknown:
        return True
    one, other = (
        np.asarray(_log_densities(model, v, structure=structure, sites=unknown))
        for v in (values, moved)
    )
    return bool(np.allclose(one[:, order], other, rtol=1e-5, equal_nan=True))


@quickly(static=("structure", "sites"))
def _log_densities(
    model: Model, values: Globals, *, structure: Structure, sites: tuple[str, ...]
) -> Array:
    """Log-densities of some sites' rows in every component, ``(site, cluster, row)``."""
    if structure.indexed or structure.panel:  # the cells' densities by row, with all others
        return model.logits(values, structure)[None]
    emissions = model.pieces(values, structure).emissions
    shape = (structure.clusters, structure.rows)
    rows = [jnp.broadcast_to(observed_log_prob(emissions[n], model.data[n]), shape) for n in sites]
    return jnp.stack(rows)


def states_exchangeable(
    model: Model, structure: Structure, parameter_map: ParameterMap, states: int
) -> bool:
    """Whether the states of hidden paths may change places."""
    axes = {n: a for n, (a, _) in state_axes(structure, parameter_map, states).items()}
    if structure.assignment is not None or states == 1 or not axes:
        return False
    values = structure.initial(make_key(1))
    here = evaluate(model, values, structure=structure)
    before = all_parameters(here, structure)
    tied = {
        (name, parameter)
        for name, family in here.families().items()
        for parameter in family.shared_parameters
    }
    for order in orders(states):
        there = evaluate(model, permute_clusters(values, axes, order), structure=structure)
        if not np.isclose(here.log_prior, there.log_prior, rtol=1e-5):
            return False
        after = all_parameters(there, structure)
        for key, parameter in before.items():
            value = parameter.value
            moves = tuple(range(1, value.ndim)) if key[1] in CHAIN else (1,)
            moves = () if key in tied else moves
            expected = permute_clusters({"p": value}, {"p": moves}, order)["p"]
            if not np.allclose(expected, after[key].value, rtol=1e-5, atol=1e-7):
                return False
    return True


def label_swaps(
    model: Model, structure: Structure, parameter_map: ParameterMap, priors: Mapping[str, Any]
) -> LabelSwaps | None:
    """The swaps that a program with a preference among labels allows.

    Args:
        model: the program with its data.
        structure: what was read off its trace.
        parameter_map: its sites that are parameters.
        priors: of its sites, at any values.

    Returns:
        None where a cluster's emission cannot take another label: what tells them apart is held.
    """
    axes = {n: a for n, a in cluster_axes(structure, parameter_map).items() if a}
    if structure.clusters == 1 or not axes or not components_move(model, structure, parameter_map):
        return None
    sticks = parameter_map.sticks
    plainly = not structure.factors
    if sticks is not None and not (plainly and isinstance(plain(priors[sticks]), dist.Beta)):
        sticks = None
    return LabelSwaps(axes, sticks)
