"""Apply one permutation a draw to every component-wise variable of a tree."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models.posterior.labels.allocations import ASSIGNMENT, CLUSTER, STATE
from ppl_models.posterior.labels.permutations import map_assignments, permute

#: Axes that run over components: a transition between components has both.
COMPONENT_DIMS = (CLUSTER, "cluster_next")
#: The same of the states of hidden paths, where nothing else is assigned.
STATE_DIMS = (STATE, "next_state", "previous_state")
#: Groups whose chains and draws are not the posterior's, whatever their coordinates say.
FOREIGN_GROUPS = ("prior", "prior_predictive", "labels")


def is_component_wise(variable: xr.DataArray) -> bool:
    """Whether a variable of draws changes when components are renumbered."""
    if not {"chain", "draw"} <= set(variable.dims):
        return False
    return variable.name == ASSIGNMENT or bool(_component_dims(variable))


def _component_dims(variable: xr.DataArray) -> list[str]:
    """The axes that run over components; over states where there are no components."""
    own = [dim for dim in COMPONENT_DIMS if dim in variable.dims]
    return own or [dim for dim in STATE_DIMS if dim in variable.dims]


def permute_variable(variable: xr.DataArray, permutation: xr.DataArray) -> xr.DataArray:
    """A component-wise variable with its components permuted; dims keep their order.

    Args:
        variable: dims chain, draw and others.
        permutation: ``(chain, draw, cluster)`` for the same chains and draws.
    """
    flat = permutation.transpose("chain", "draw", CLUSTER).values
    flat = flat.reshape(-1, flat.shape[-1])
    first = variable.transpose("chain", "draw", ...)
    values = first.values.reshape(len(flat), *first.shape[2:])
    if variable.name == ASSIGNMENT:
        values = map_assignments(values.reshape(len(flat), -1), flat)
    for dim in _component_dims(first):
        axis = first.dims.index(dim) - 1
        rest = np.arange(flat.shape[1], values.shape[axis])  # an end after the states stays
        full = np.concatenate([flat, np.broadcast_to(rest, (len(flat), len(rest)))], axis=1)
        values = permute(values, full, axis=axis)
    return first.copy(data=values.reshape(first.shape)).transpose(*variable.dims)


def permute_tree(tree: xr.DataTree, permutation: xr.DataArray) -> xr.DataTree:
    """A new tree in which every component-wise variable of the posterior's draws is permuted.

    Other groups take part when their chains and draws are among the posterior's by coordinate.
    Variables that do not change are shared with ``tree``, which is not changed.
    """
    result = tree.copy()
    for name, group in tree.children.items():
        if name in FOREIGN_GROUPS:
            continue
        dataset = group.to_dataset(inherit=False)
        chosen = {k: v for k, v in dataset.data_vars.items() if is_component_wise(v)}
        part = _select(permutation, dataset) if chosen else None
        if part is not None:
            changed = {k: permute_variable(v, part) for k, v in chosen.items()}
            result[name].dataset = dataset.assign(changed)
    return result


def _select(permutation: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray | None:
    """The permutations of the dataset's own draws, or None when they are not the posterior's."""
    for dim in ("chain", "draw"):
        known, wanted = permutation[dim].values, dataset[dim].values
        if not np.isin(wanted, known).all():
            return None
    return permutation.sel(chain=dataset["chain"].values, draw=dataset["draw"].values)
