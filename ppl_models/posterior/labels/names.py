"""Names for the clusters, or the hidden states, of a fit."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import catalogue
from ppl_models.errors import InputError
from ppl_models.posterior.labels.apply import COMPONENT_DIMS, STATE_DIMS
from ppl_models.posterior.result.names import NAMES, given_names
from ppl_models.posterior.result.schema import facts_of

NUMBERED = ("labels",)  #: groups about the draws as they were before relabelling


def name_clusters(tree: xr.DataTree, names: Mapping[int | str, str] | Sequence[str]) -> xr.DataTree:
    """A fit whose clusters, or hidden states, have names instead of numbers.

    Everything that shows clusters shows their names from then on: `predict`, `assignments`,
    `to_frame`, `diagnose`, all plots and the report. `save` writes them, and they are labels of
    the draws: ``tree["posterior"]["loc"].sel(cluster="short")``. See `relabel`, after which a
    number, and so a name, means the same in all draws: Stephens (2000).

    Args:
        tree: a fit with clusters or hidden states.
        names: of some of them, by their numbers (or the names that they have), or of all, in
            order. What gets no name stays as it was. An empty mapping takes all names away.

    Returns:
        A new tree; ``tree`` is not changed.

    Raises:
        InputError: no such cluster, two of the same name, a name that is empty or a number, or a
            fit without clusters.

    >>> from ppl_models import fit, predict
    >>> tree = fit("poisson_mixture", [1, 2, 3, 2, 30, 28, 29], method="em", seed=0, clusters=2)
    >>> named = name_clusters(tree, {0: "few", 1: "many"})
    >>> predict(named, [2, 31])["cluster"].values.tolist()
    ['few', 'many']
    """
    facts = facts_of(tree)
    count = facts.components
    if not count:
        raise InputError(
            f"the program {tree.attrs.get('program')} has neither clusters nor hidden states: "
            "there is nothing to name"
        )
    known = given_names(tree) or [str(k) for k in range(count)]
    wanted = _wanted(names, known)
    result = tree.copy()
    numbers = [str(k) for k in range(count)]
    plain = wanted == numbers
    result.attrs = {n: v for n, v in tree.attrs.items() if n != NAMES}
    if not plain:
        result.attrs[NAMES] = json.dumps(wanted)
    for name, group in tree.children.items():
        if name not in NUMBERED:
            dataset = group.to_dataset(inherit=False)
            result[name].dataset = dataset.assign_coords(
                {
                    dim: np.arange(count) if plain else np.array(wanted)
                    for dim in (*COMPONENT_DIMS, *STATE_DIMS)
                    if dim in dataset.coords and dataset.sizes[dim] == count
                }
            )
    return result


def with_own_names(
    tree: xr.DataTree,
    function: Callable,
    arguments: Mapping[str, Any],
    labels: Mapping[int, str],
) -> xr.DataTree:
    """A fit whose clusters are called as the program and the labels of rows call them.

    Args:
        tree: a fit whose clusters have no names.
        function: the program; of a program of this package, ``cluster_names`` beside it, which is
            told the arguments, and the labels of the posterior's axes by ``axes``.
        arguments: of the program.
        labels: of known rows, by cluster.
    """
    names: dict[int, str] = {}
    if catalogue.is_built_in(function):
        stated = getattr(inspect.getmodule(function), "cluster_names", None)
        axes = {str(d): list(c.values) for d, c in tree["posterior"].coords.items()}
        names |= {} if stated is None else stated(**arguments, axes=axes)
    names |= labels
    return name_clusters(tree, _no_numbers(names)) if names else tree


def _no_numbers(names: Mapping[int, str]) -> dict[int | str, str]:
    """Names of clusters, where a label that is a number is no name by itself.

    >>> _no_numbers({0: "1", 1: "b"})
    {0: 'label 1', 1: 'b'}
    """
    return {k: f"label {name}" if name.isdigit() else name for k, name in names.items()}


def _wanted(names: Mapping[int | str, str] | Sequence[str], known: list[str]) -> list[str]:
    """All names in order."""
    count = len(known)
    if isinstance(names, str):
        raise InputError(f"names is {names!r}: give a dict such as {{0: 'short', 1: 'long'}}")
    if not isinstance(names, Mapping):
        if len(names) != count:
            raise InputError(f"{len(names)} names for {count} clusters: give one for each, or a "
                             "dict such as {0: 'short'}")  # fmt: skip
        names = dict(enumerate(names))
    if not names:
        return [str(k) for k in range(count)]
    wanted = list(known)
    for which, name in names.items():
        place = _place(which, known)
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"the name of cluster {which} is {name!r}: give a text")
        if name.strip().isdigit() and name.strip() != str(place):
            raise InputError(
                f"the name of cluster {which} is {name!r}, which is the number of another: give a "
                "text that is no number"
            )
        wanted[place] = name.strip()
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two clusters are named {twice!r}: give each a name of its own")
    return wanted


def _place(which: int | str, known: list[str]) -> int:
    """Position of a cluster given by number or by name."""
    if str(which) in known:
        return known.index(str(which))
    if str(which).isdigit() and int(which) < len(known):
        return int(which)
    raise InputError(f"there is no cluster {which!r}: the clusters are {', '.join(known)}")


def refuse_named(tree: xr.DataTree, doing: str) -> None:
    """Refuse to renumber named components: their names would go to other components.

    Raises:
        InputError: the components have names.
    """
    if given_names(tree) is not None:
        raise InputError(
            f"{doing} may renumber the clusters, which have names: remove the names by "
            f"name_clusters(tree, {{}}), and name the clusters again afterwards"
        )
