"""Rows whose cluster is known: labels as they are given, and as numbers of clusters.

A row n with the label k has the joint density of itself and its cluster, where others have the sum
over all clusters:

    log p(θ) + Σ_{n known} log p(x_n, z_n = k | θ) + Σ_{n unknown} log Σ_z p(x_n, z | θ)

which is what ``numpyro.sample("z", ..., obs=labels, obs_mask=known)`` says in a program. It is the
semi-supervised mixture of Nigam, McCallum, Thrun and Mitchell (2000), Machine Learning 39.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ppl_models.data.missing import MISSING_CODE, MISSING_TEXTS
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.model import KNOWN_CLUSTER, Model
from ppl_models.program.rows.columns import take_column
from ppl_models.program.trace.structure import Structure

OTHERWISE = "give the name of a column, or an array of one label a row, None where it is not known"
MOST_NAMED = 6  #: labels that a message names


@dataclass(frozen=True)
class Labels:
    """Known clusters of rows.

    Args:
        codes: of every row the number of its label in ``names``; -1 where it is not known.
        names: labels, in order.
    """

    codes: np.ndarray
    names: tuple[Any, ...]

    def clusters(self, count: int) -> tuple[np.ndarray, dict[int, str]]:
        """The cluster of every row (-1: not known), and the labels' names by cluster.

        Labels that are whole numbers from 0 to below ``count`` are the clusters' own numbers and
        need no names. Others are numbered in their order.

        Args:
            count: number of clusters.

        Raises:
            InputError: more labels than clusters.

        >>> Labels(np.array([1, -1, 0]), ("setosa", "virginica")).clusters(3)
        (array([ 1, -1,  0]), {0: 'setosa', 1: 'virginica'})
        >>> Labels(np.array([1, -1, 0]), (0, 2)).clusters(3)
        (array([ 2, -1,  0]), {})
        """
        if len(self.names) > count:
            raise InputError(
                f"labels has {len(self.names)} different labels ({_listed(self.names)}), and there "
                f"are {count} clusters: give clusters={len(self.names)} or more"
            )
        if all(_is_integer(name) and 0 <= name < count for name in self.names):
            numbers = np.array([int(name) for name in self.names], int)
            return np.where(self.codes < 0, -1, numbers[self.codes]), {}
        return self.codes, {k: str(name) for k, name in enumerate(self.names)}


def take_labels(data: Any, labels: Any) -> tuple[Any, Labels | None]:
    """The data without the column that holds the labels, and the labels.

    Args:
        data: as ``fit`` takes them.
        labels: labels of any type, the name of a column of a data frame, or None. Not known are
            None, NaN, masked entries, the number -1, and the texts that stand for missing cells.

    Raises:
        InputError: no such column, labels that are no one-dimensional array, or none known.

    >>> take_labels([1.0, 2.0, 3.0], ["b", None, "a"])[1]
    Labels(codes=array([ 1, -1,  0]), names=('a', 'b'))
    """
    if labels is None:
        return data, None
    order: Sequence[Any] | None = None
    if isinstance(labels, str):
        name = labels
        order = _levels(_column_of(data, name))
        data, labels = take_column(data, name, "labels", OTHERWISE)
    else:
        order = _levels(labels)
    entries, unknown = _entries(labels)
    if unknown.all():
        raise InputError("labels are all unknown: give the cluster of some rows, or leave them out")
    names = _ordered(entries[~unknown], order)
    place = {name: number for number, name in enumerate(names)}
    codes = np.array([-1 if gone else place[e] for e, gone in zip(entries, unknown, strict=True)])
    return data, Labels(codes, tuple(names))


def _column_of(data: Any, name: str) -> Any:
    tables = data.values() if isinstance(data, Mapping) else [data]
    for table in tables:
        columns = getattr(table, "columns", None)
        if columns is not None and name in list(columns):
            return table[name]
    return None


def _levels(labels: Any) -> list[Any] | None:
    """The levels of a categorical column, in its order."""
    dtype = getattr(labels, "dtype", None)
    if isinstance(dtype, pd.CategoricalDtype):
        return list(dtype.categories)
    return None


def _entries(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels as plain objects, and which are not known; both ``(row,)``."""
    masked = np.ma.getmaskarray(labels) if isinstance(labels, np.ma.MaskedArray) else None
    if hasattr(labels, "to_numpy"):
        labels = labels.to_numpy()
    array = np.asarray(labels)
    if array.dtype.kind not in "OUSbiufT":
        raise InputError(f"labels have the type {array.dtype}: give names or whole numbers")
    if array.ndim != 1:
        raise InputError(f"labels have the shape {array.shape}: give one label for each row")
    listed = labels if isinstance(labels, list | tuple) else array.tolist()  # [1, "a"] as they are
    entries = np.empty(len(array), object)
    entries[:] = [e.item() if isinstance(e, np.generic) else e for e in listed]
    unknown = np.asarray(pd.isna(entries), bool)
    if masked is not None:
        unknown = unknown | masked
    for place, entry in enumerate(entries):
        if unknown[place]:
            continue
        if isinstance(entry, float) and entry.is_integer():
            entries[place] = entry = int(entry)  # whole numbers beside NaN
        if isinstance(entry, str):
            unknown[place] = entry in MISSING_TEXTS
        elif not isinstance(entry, bool) and isinstance(entry, int) and entry == MISSING_CODE:
            unknown[place] = True
    return entries, unknown


def _ordered(known: np.ndarray, order: Sequence[Any] | None) -> list[Any]:
    """The different labels: in the order of their levels, else sorted."""
    present = set(known.tolist())
    if order is not None:
        return [level for level in order if level in present]
    try:
        return sorted(present)
    except TypeError:  # of several types
        return sorted(present, key=lambda label: (type(label).__name__, str(label)))


def _is_integer(name: Any) -> bool:
    return isinstance(name, int) and not isinstance(name, bool)


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(map(str, names[:MOST_NAMED]))
    return shown + (", ..." if len(names) > MOST_NAMED else "")


def with_labels(model: Model, structure: Structure, labels: Labels) -> tuple[Model, dict[int, str]]:
    """The program with the known clusters of its rows, and the labels' names by cluster.

    Args:
        model: the program with its data.
        structure: what was read off it.
        labels: of the rows.

    Raises:
        InputError: labels of another number of rows, or more labels than clusters.
        UnsupportedError: a program that assigns no rows, several sites that do, a chain, or a
            network.
    """
    name = getattr(model.function, "__name__", "the program")
    if structure.chain is not None:
        raise UnsupportedError(
            f"labels are given, and the rows of {name} are steps of one chain: hold all its "
            f"states by fixed={{'{structure.chain.site}': ...}}, or leave labels out"
        )
    if structure.coupled:
        raise UnsupportedError(
            f"labels are given, and the clusters of the rows of {name} depend on each other: hold "
            f"all of them by fixed={{'{structure.assignment}': ...}}, or leave labels out"
        )
    if structure.assignment is None:
        raise UnsupportedError(
            f"labels are given, and {name} has no discrete site that assigns rows to clusters: "
            "leave labels out"
        )
    if structure.combined:
        names = ", ".join(f"'{site}'" for site in structure.discrete)
        raise UnsupportedError(
            f"labels are given, and {name} has several discrete sites ({names}), so that it is "
            "ambiguous which one they label: write it in the program, numpyro.sample(..., "
            "obs=labels, obs_mask=known)"
        )
    if len(labels.codes) != structure.rows:
        raise InputError(
            f"there are {len(labels.codes)} labels and {structure.rows} {structure.plate}s: give "
            "one label for each row, None where it is not known"
        )
    codes, by_cluster = labels.clusters(structure.clusters)
    data = {**model.data, KNOWN_CLUSTER: codes.astype(np.int32)}
    return replace(model, data=data), by_cluster


def known_clusters(model: Model) -> np.ndarray | None:
    """The known cluster of every row, -1 where it is not known; None where none is."""
    codes = model.data.get(KNOWN_CLUSTER)
    return None if codes is None else np.asarray(codes)
