"""The rows of a program, and which row each cell of an observed site belongs to.

A row is what the discrete site assigns: an entry of its plate, or, of a site outside all plates,
everything together. Data in the plate of the rows have one entry a row. Those of any other plate
(annotations of items, words of documents, visits of patients) have a row's number each, which an
index array or an inner plate says; see ``units``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from ppl_models.errors import UnsupportedError

STEP = "step"  #: the axis of the steps of a scan
SERIES = "series"  #: name of the rows' dimension where all data are one series
ONE_UNIT = "unit"  #: name of the rows' dimension where all data are one unit
UNNAMED = "row"  #: of data outside all plates, whose first axis are rows


@dataclass(frozen=True)
class Layout:
    """The rows of a program.

    Args:
        plate: name of the rows' dimension.
        rows: how many there are.
        shape: of a value of the discrete site.
        indexed: observed sites whose cells have to be summed up by row.
        lines: of those, site, name and length of the first axis of the data, unless it is the rows.
        axes: of those, site and axis of the cells that is the rows, -1 for one row; sites without
            are those whose rows only the program's index arrays know.
    """

    plate: str
    rows: int
    shape: tuple[int, ...]
    indexed: tuple[str, ...] = ()
    lines: tuple[tuple[str, str, int], ...] = ()
    axes: tuple[tuple[str, int], ...] = ()


def is_scanned(site: Mapping[str, Any]) -> bool:
    """Whether a site has a value for every step of a scan.

    NumPyro writes the step into the dict that the program gives as ``infer=``, which other sites
    may share.
    """
    stepwise = "_scan_current_index" in (site.get("infer") or {})
    return stepwise and bool(site.get("_control_flow_done"))


def plates_of(site: Mapping[str, Any]) -> dict[int, str]:
    """The plates that a site is in, by dimension."""
    return {frame.dim: frame.name for frame in site["cond_indep_stack"]}


def _sizes(site: Mapping[str, Any]) -> dict[str, int]:
    return {frame.name: frame.size for frame in site["cond_indep_stack"]}


def read_layout(
    assignment: Mapping[str, Any] | None,
    emissions: Mapping[str, Mapping[str, Any]],
    paths: Mapping[str, Mapping[str, Any]] | None = None,
) -> Layout:
    """Read the rows off the discrete site and the observed sites.

    Args:
        assignment: the discrete site that assigns them, or None.
        emissions: the observed sites.
        paths: hidden continuous sites with a value for every step of a scan.

    Raises:
        UnsupportedError: a discrete site with axes that are no plates.
    """
    if assignment is None:
        return _without_assignment(emissions, paths or {})
    plates, shape = plates_of(assignment), jnp.shape(assignment["value"])
    if len([size for size in shape if size > 1]) > len(plates):
        raise UnsupportedError(
            f"site '{assignment['name']}' has {len(shape)} axes and is in {len(plates)} plates: "
            "put it in a numpyro.plate over the rows, and leave expand and to_event out"
        )
    plate = "_".join(plates[d] for d in sorted(plates)) or ONE_UNIT
    rows = math.prod(shape)
    indexed = tuple(n for n, s in emissions.items() if not _is_plain(s, plate))
    one = () if plates else tuple((n, -1) for n in indexed)
    return Layout(plate, rows, shape, indexed, _lines(emissions, indexed, plate), one)


def _without_assignment(
    emissions: Mapping[str, Mapping[str, Any]], paths: Mapping[str, Mapping[str, Any]]
) -> Layout:
    first = next(iter(emissions.values()))
    common = set(_sizes(first).items())
    for site in (*emissions.values(), *paths.values()):
        common &= set(_sizes(site).items())
    stepwise = any(is_scanned(site) for site in emissions.values())
    if common:
        dims = {name: dim for dim, name in plates_of(first).items()}
        plate, rows = min(common, key=lambda pair: dims[pair[0]])
        axis = {
            n: len(s["fn"].batch_shape) + d
            for n, s in emissions.items()
            for d, name in plates_of(s).items()
            if name == plate
        }
    else:
        plate, axis = UNNAMED, dict.fromkeys(emissions, 0)
        lengths = {s["fn"].batch_shape[:1] for s in emissions.values()}
        unnamed = not stepwise and not any(plates_of(s) for s in emissions.values())
        rows = lengths.pop()[0] if unnamed and len(lengths) == 1 and lengths != {()} else 0
        if not rows:
            plate, rows, axis = SERIES if stepwise else ONE_UNIT, 1, dict.fromkeys(emissions, -1)
    indexed = tuple(
        n
        for n, s in emissions.items()
        if not (_is_plain(s, plate) or (axis[n] == 0 and len(s["fn"].batch_shape) == 1))
    )
    lines = _lines(emissions, indexed, plate)
    return Layout(plate, rows, (rows,), indexed, lines, tuple((n, axis[n]) for n in indexed))


def _is_plain(site: Mapping[str, Any], plate: str) -> bool:
    """Whether a site has one entry a row."""
    return plates_of(site) == {-1: plate} and len(site["fn"].batch_shape) == 1


def _lines(
    emissions: Mapping[str, Mapping[str, Any]], indexed: tuple[str, ...], plate: str
) -> tuple[tuple[str, str, int], ...]:
    """Site, name and length of the first axis of its data."""
    lines = []
    for name in indexed:
        site = emissions[name]
        shape = jnp.shape(site["value"])
        if not shape:
            continue
        dims, batch = plates_of(site), len(site["fn"].batch_shape)
        own = dims.get(-batch, UNNAMED) if batch else UNNAMED
        own = STEP if is_scanned(site) else own
        if own != plate:
            lines.append((name, own, shape[0]))
    return tuple(lines)
