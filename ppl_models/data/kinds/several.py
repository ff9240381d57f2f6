"""Data of several kinds for one program, with distinct names for axes that differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl_models.data.kinds.observed import Observed

Read = Callable[[Mapping[str, Any] | None], Observed]


def read_together(
    readers: Mapping[str, Read],
    like: Mapping[str, Any] | None,
    apart: Collection[str] = (),
) -> dict[str, Observed]:
    """Read what belongs to each data parameter of a program.

    A second parameter's axis that has other labels than the first's of its name (features of
    measurements, and of answers) is called by the parameter and the axis: ``answers_feature``.

    Args:
        readers: parameter -> reading of its data, told the coordinates that they must have.
        like: coordinates of an earlier reading.
        apart: parameters whose features are always called so.
    """
    readings: dict[str, Observed] = {}
    taken: dict[str, list[Any]] = {}
    for site, read in readers.items():
        reading = read(None if like is None else own_labels(like, site))
        labels = _labels(reading)
        differ = {n for n, v in labels.items() if taken.get(n, v) != v}
        differ |= {n for n in labels if f"{site}_{n}" in (like or {})}
        differ |= {n for n in reading.dims if n == "feature" and site in apart}
        reading = _renamed(reading, {n: f"{site}_{n}" for n in differ})
        taken |= {n: v for n, v in _labels(reading).items() if n not in taken}
        readings[site] = reading
    return readings


def own_labels(like: Mapping[str, Any], site: str) -> dict[str, Any]:
    """Coordinates under the names used by the parameter's own kind.

    >>> own_labels({"feature": ["age"], "answers_feature": ["q1", "q2"]}, "answers")["feature"]
    ['q1', 'q2']
    """
    own = {n.removeprefix(f"{site}_"): v for n, v in like.items() if n.startswith(f"{site}_")}
    return {**like, **own}


def value_names(observed: Mapping[str, Observed]) -> dict[str, list[str]]:
    """What axes run over that are called after the data, of programs of several kinds of data.

    Codes of vectors stand for items, words and the like: an axis that has the name of such data
    (``word`` of ``word_probs``) runs over these. Codes that were given as numbers have no names.
    Of a table it is an axis named in the singular (``covariate`` of ``covariates``) that runs over
    its columns.

    >>> from ppl_models.data.kinds import Categories
    >>> read = {site: Categories.read(["b", "a"], site=site) for site in ("item", "label")}
    >>> value_names(read)
    {'item': ['a', 'b'], 'label': ['a', 'b']}
    """
    names_of: dict[str, list[str]] = {}
    for site, reading in observed.items() if len(observed) > 1 else ():
        if reading.values.ndim == 2 and site.endswith("s"):
            axes = {reading.dims[1], f"{site}_feature"} & set(reading.coords)
            columns = [str(name) for dim in sorted(axes)[:1] for name in reading.coords[dim]]
            if columns and columns != [str(place) for place in range(len(columns))]:
                names_of[site.removesuffix("s")] = columns
            continue
        levels = reading.coords.get(f"{site}_level", reading.coords.get("level"))
        if levels is None or reading.values.ndim != 1:
            continue
        prefixes, _, names = zip(*(str(level).partition("=") for level in levels), strict=True)
        if len(set(prefixes)) == 1 and names != tuple(str(code) for code in range(len(names))):
            names_of[site] = list(names)
    return names_of


def _labels(reading: Observed) -> dict[str, list[Any]]:
    """Labels of every axis but the rows'; of an axis without any, its places."""
    rows, *dims = reading.dims
    places = {n: list(range(size)) for n, size in zip(dims, reading.values.shape[1:], strict=True)}
    named = {n: np.asarray(v).tolist() for n, v in reading.coords.items() if n != rows}
    return places | named


def _renamed(reading: Observed, names: Mapping[str, str]) -> Observed:
    return replace(
        reading,
        dims=tuple(names.get(n, n) for n in reading.dims),
        coords={names.get(n, n): labels for n, labels in reading.coords.items()},
    )
