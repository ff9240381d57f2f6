"""Apply one permutation a draw to every component-wise variable of a tree."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models.posterior.labels.allocations import ASSIGNMENT, CLUSTER, STATE
from ppl_models.posterior.labels.permutations import map_assignments, permute
from ppl_models.posterior.result.schema import HIDDEN
from ppl_models.program.parameters.label_symmetry import LabelSymmetry, Place

#: Axes that run over components: a table by two components has both.
COMPONENT_DIMS = (CLUSTER, "cluster_next")
#: The same of the states of hidden paths, where nothing else is assigned.
STATE_DIMS = (STATE, "next_state", "previous_state")
#: Groups whose chains and draws are not the posterior's, whatever their coordinates say.
FOREIGN_GROUPS = ("prior", "prior_predictive", "labels")
#: Groups of the program's sites, whose axes the facts name.
SITES = ("posterior", HIDDEN)


def is_component_wise(variable: xr.DataArray, labels: LabelSymmetry | None = None) -> bool:
    """Whether a variable of draws changes when components are renumbered.

    Args:
        variable: of a posterior.
        labels: of the fit; without them the names of axes tell.
    """
    if not {"chain", "draw"} <= set(variable.dims):
        return False
    known = labels is not None and (variable.name in (*labels.axes, *labels.recomputed))
    return variable.name == ASSIGNMENT or known or bool(named_places(variable))


def named_places(variable: xr.DataArray) -> tuple[Place, ...]:
    """Axes of clusters; of states for programs without clusters."""
    dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
    own = [dim for dim in COMPONENT_DIMS if dim in dims]
    own = own or [dim for dim in STATE_DIMS if dim in dims]
    return tuple((dims.index(dim), 0) for dim in own)


def permute_variable(
    variable: xr.DataArray, permutation: xr.DataArray, places: tuple[Place, ...] | None = None
) -> xr.DataArray:
    """A component-wise variable with its components permuted; dims keep their order.

    Args:
        variable: dims chain, draw and others.
        permutation: ``(chain, draw, cluster)`` for the same chains and draws.
        places: its axes that run over components, chain and draw not counted, each with the
            component that it begins with (default: those called by clusters or states).
    """
    places = named_places(variable) if places is None else places
    flat = permutation.transpose("chain", "draw", CLUSTER).values
    flat = flat.reshape(-1, flat.shape[-1])
    first = variable.transpose("chain", "draw", ...)
    values = first.values.reshape(len(flat), *first.shape[2:])
    if variable.name == ASSIGNMENT:
        values = map_assignments(values.reshape(len(flat), -1), flat)
    for axis, start in places:
        values = permute(values, _entries(flat, values.shape[axis + 1], start), axis=axis + 1)
    return first.copy(data=values.reshape(first.shape)).transpose(*variable.dims)


def _entries(permutation: np.ndarray, length: int, start: int) -> np.ndarray:
    """Positions ``(draw, entry)`` of an axis that begins with component ``start``."""
    positions = np.tile(np.arange(length), (len(permutation), 1))
    count = min(length, permutation.shape[1] - start)  # an end after the states stays
    positions[:, :count] = permutation[:, start : start + count] - start
    return positions


def permute_tree(
    tree: xr.DataTree, permutation: xr.DataArray, labels: LabelSymmetry
) -> xr.DataTree:
    """A new tree in which every component-wise variable of the posterior's draws is permuted.

    Other groups take part when their chains and draws are among the posterior's by coordinate.
    Variables that do not change are shared with ``tree``, which is not changed.

    Args:
        tree: a fit.
        permutation: ``(chain, draw, cluster)``.
        labels: of the fit: which axes of its sites run over components.
    """
    result = tree.copy()
    for name, group in tree.children.items():
        if name in FOREIGN_GROUPS:
            continue
        dataset = group.to_dataset(inherit=False)
        chosen = {k: _places_of(v, labels, name in SITES) for k, v in dataset.data_vars.items()}
        moving = {k: p for k, p in chosen.items() if p or k == ASSIGNMENT}
        part = _select(permutation, dataset) if moving else None
        if part is not None:
            changed = {k: permute_variable(dataset[k], part, p) for k, p in moving.items()}
            result[name].dataset = dataset.assign(changed)
    return result


def _places_of(variable: xr.DataArray, labels: LabelSymmetry, site: bool) -> tuple[Place, ...]:
    """Component axes of a variable: from the facts for sites, by name otherwise."""
    if not {"chain", "draw"} <= set(variable.dims):
        return ()
    if site:
        return labels.axes.get(str(variable.name), ())
    return named_places(variable)


def _select(permutation: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray | None:
    """The permutations of the dataset's own draws, or None when they are not the posterior's."""
    for dim in ("chain", "draw"):
        known, wanted = permutation[dim].values, dataset[dim].values
        if not np.isin(wanted, known).all():
            return None
    return permutation.sel(chain=dataset["chain"].values, draw=dataset["draw"].values)
