"""Names of the clusters, or hidden states, of a fit, and their numbers where they have none."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

NAMES = "cluster_names"  #: attribute of the root: a JSON list, one name a component


def component_names(tree: xr.DataTree, count: int | None = None) -> list[str]:
    """What the components of a fit are called: their names, or else their numbers.

    Args:
        tree: a fit.
        count: how many components are meant; names of another number of them are not theirs.

    >>> component_names(xr.DataTree(), 2)
    ['0', '1']
    """
    names = given_names(tree)
    if names is None or (count is not None and len(names) != count):
        return [str(k) for k in range(count or 0)]
    return names


def component_labels(tree: xr.DataTree, count: int) -> np.ndarray:
    """The coordinate of so many components: names, or else the numbers 0, 1, ..."""
    names = given_names(tree)
    return np.arange(count) if names is None or len(names) != count else np.array(names)


def given_names(tree: xr.DataTree) -> list[str] | None:
    """The names that somebody gave the components; None where nobody did."""
    text = tree.attrs.get(NAMES)
    return None if text is None else list(json.loads(text))


def component(tree: xr.DataTree, noun: str, k: int) -> str:
    """One component in words.

    >>> component(xr.DataTree(), "cluster", 1)
    'cluster 1'
    """
    names = given_names(tree)
    return f"{noun} {k}" if names is None or k >= len(names) else names[k]
