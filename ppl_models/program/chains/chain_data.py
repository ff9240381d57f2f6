"""The layout of data of several series: which axis runs over steps, and which over series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random

from ppl_models.data.kinds import Observed
from ppl_models.data.missing import missing_cells
from ppl_models.program.chains.chain_densities import step_densities
from ppl_models.program.trace.data_sites import observed_values, with_computed
from ppl_models.program.trace.layout import STEP
from ppl_models.program.trace.structure import Structure


def with_layout(model: Any, structure: Structure) -> Structure:
    """The structure with the layout of the data of several series.

    A program may observe its data as they are, ``(step, series, ...)``, or with these two axes
    exchanged; from a parameter of the site's name, or of another.

    Args:
        model: the program with its data.
        structure: what was read off the program, with a chain.
    """
    chain = structure.chain
    assert chain is not None
    unknown = tuple(n for n in structure.emissions if n not in model.data)
    data = {n: np.asarray(v) for n, v in model.data.items()}
    if not chain.plates:
        known_structure = structure if not unknown else with_computed(model, structure, {})
        # one value more than steps, for instance, where every step looks back at the last
        lengths = ((n, f"{n}_dim_0", len(v)) for n, v in data.items() if v.ndim)
        own = tuple(line for line in lengths if line[2] != chain.steps)
        return replace(
            known_structure,
            lines=(*known_structure.lines, *own),
            sources=(*known_structure.sources, *_left_out(model, known_structure)),
        )
    observed = {
        n: np.asarray(v) for n, v in observed_values(model, names=structure.emissions).items()
    }
    swapped, axes, sources = [], {}, set()
    for name, value in observed.items():
        for parameter in (name,) if name in data else data:
            if _same(value, data[parameter]):
                axes[parameter] = STEP
            elif value.ndim > 1 and _same(value.swapaxes(0, 1), data[parameter]):
                axes[parameter] = chain.plates[0][0]
                swapped += [name] if name == parameter else []
            else:
                continue
            sources |= set() if name == parameter else {parameter}
    if unknown and not sources:
        structure = with_computed(model, structure, {})
        sources = {*structure.sources, *_left_out(model, structure)}
    sizes = dict(((STEP, chain.steps), *reversed(chain.plates)))
    for name, value in data.items():
        named = (axis for axis, size in sizes.items() if size == len(value))
        axes.setdefault(name, next(named, f"{name}_dim_0"))
    return replace(
        structure,
        lines=tuple((name, axes[name], len(value)) for name, value in data.items()),
        swapped=tuple(swapped),
        computed=unknown,
        sources=tuple(sorted(sources)),
    )


def _left_out(model: Any, structure: Structure) -> set[str]:
    """Parameters with missing cells that no site emits, if the program leaves these cells out."""
    own = {*structure.emissions, *structure.sources}
    missing = {n for n, v in model.data.items() if n not in own and missing_cells(v).any()}
    if not missing:
        return missing
    values = structure.initial(random.key(5))
    densities = step_densities(model, values, structure, jnp.zeros((), jnp.int32))[1]
    return missing if bool(jnp.isfinite(densities).all()) else set()


def _same(value: np.ndarray, data: np.ndarray) -> bool:
    if value.shape != data.shape or data.dtype.kind not in "fiub":
        return False
    # (a cast to single precision is no other data)
    return np.allclose(value.astype(float), data.astype(float), rtol=1e-6, atol=0, equal_nan=True)


def as_observed(values: Any, name: str, structure: Structure, *, leading: int = 0) -> Any:
    """Data as a site observes them from those of its parameter, or the inverse.

    Args:
        values: of the data, or of the site.
        name: of the site.
        structure: what was read off the program.
        leading: axes in front, of draws.
    """
    return values.swapaxes(leading, leading + 1) if name in structure.swapped else values


def named_axes(observed: Mapping[str, Observed], structure: Structure) -> dict[str, Observed]:
    """Data of several series, their second axis called by the steps or by the series too.

    Args:
        observed: with the first axis named.
        structure: what was read off the program.
    """
    chain, by_name = structure.chain, {}
    if chain is None and STEP in {axis for _, axis, _ in structure.lines}:
        own = ((structure.plate, structure.rows),)  # series of paths of real numbers
        for name, reading in observed.items():
            stepwise = reading.dims[0] == STEP
            dims = _of_plates(reading.dims, reading.values.shape, own) if stepwise else reading.dims
            by_name[name] = _renamed(reading, dims)
        return by_name
    if chain is None or not chain.plates:
        return dict(observed)
    plates = dict(chain.plates)
    for name, reading in observed.items():
        shape = np.shape(reading.values)
        first = reading.dims[0]
        if first == STEP:
            dims = _of_plates(reading.dims, shape, chain.plates)
        elif first in plates and len(shape) > 1 and shape[1] == chain.steps:
            dims = (first, STEP, *reading.dims[2:])
        else:
            dims = reading.dims
        by_name[name] = _renamed(reading, dims)
    return by_name


def _renamed(reading: Observed, dims: tuple[str, ...]) -> Observed:
    renamed = dict(zip(reading.dims, dims, strict=True))
    coords = {renamed.get(n, n): labels for n, labels in reading.coords.items()}
    return replace(reading, dims=dims, coords=coords)


def _of_plates(
    dims: tuple[str, ...], shape: tuple[int, ...], plates: tuple[tuple[str, int], ...]
) -> tuple[str, ...]:
    named = list(dims)
    for place, (name, size) in enumerate(plates, start=1):
        if place < len(shape) and shape[place] == size:
            named[place] = name
    return tuple(named)


def by_step(table: np.ndarray, structure: Structure, axis: int) -> np.ndarray:
    """A table by row with the axes ``(series, step)`` in place of the rows, of several series.

    Args:
        table: ``(..., row, ...)``.
        structure: what was read off the program.
        axis: the rows'.
    """
    chain = structure.chain
    if chain is None or not chain.plates:
        return table
    shape = table.shape
    return table.reshape(*shape[:axis], chain.series, chain.steps, *shape[axis + 1 :])


def step_dims(structure: Structure, plate: str) -> tuple[str, ...]:
    """Names of the axes that :func:`by_step` gives."""
    chain = structure.chain
    return (plate,) if chain is None or not chain.plates else (chain.unit, STEP)
