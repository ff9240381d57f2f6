"""Where a fit's Markov chains ended, in its tree: what `extend` goes on from."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models import memory
from ppl_models.inference.last_states import LastStates

SAMPLER_STATE = "sampler_state"  #: group of the tree


def with_last_states(tree: xr.DataTree, states: LastStates) -> xr.DataTree:
    """The tree with the states of its chains, if they are not too large.

    Args:
        tree: a fit.
        states: of its runs.
    """
    arrays = {f"{run}.{n}": v for run, end in states.ends.items() for n, v in end.items()}
    if not arrays or sum(v.nbytes for v in arrays.values()) > memory.KEPT_STATE_BYTES:
        return tree
    variables = {
        name: ([f"{name}_dim_{i}" for i in range(value.ndim)], value)
        for name, value in arrays.items()
    }
    tree[SAMPLER_STATE] = xr.DataTree(xr.Dataset(variables))
    return tree


def last_states(tree: xr.DataTree) -> LastStates | None:
    """The states that :func:`with_last_states` kept; None where there are none.

    Args:
        tree: a fit.
    """
    if SAMPLER_STATE not in tree.children:
        return None
    ends: dict[int, dict[str, np.ndarray]] = {}
    for name, variable in tree[SAMPLER_STATE].data_vars.items():
        run, _, leaf = str(name).partition(".")
        ends.setdefault(int(run), {})[leaf] = variable.values
    return LastStates([ends[run] for run in sorted(ends)])
