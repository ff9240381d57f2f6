"""Which components may change places, with the deterministic sites that go with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import numpy as np
from jax import Array

from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.label_symmetry import (
    LabelSymmetry,
    Place,
    entries,
    exchanged,
    exchanges,
    permute_labels,
    same,
)
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure

CHECKED = 2  #: draws at which the symmetry is confirmed


def read_labels(problem: Problem, result: Result) -> LabelSymmetry:
    """The symmetry of a fit's program, confirmed at draws, with its deterministic sites.

    Args:
        problem: program and data.
        result: of the method.
    """
    symmetry = problem.labels
    if not symmetry.classes or not result.values:
        return symmetry
    flat = {n: np.asarray(v).reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
    count = len(next(iter(flat.values())))
    draws = [
        {n: v[i] for n, v in flat.items()} for i in np.linspace(0, count - 1, CHECKED).astype(int)
    ]
    if not all(_holds(problem, symmetry, draw) for draw in draws):
        return LabelSymmetry(
            symmetry.components,
            reason="an exchange of components that leaves the density as it is at some values of "
            "the sites changes it at the draws",
        )
    names = tuple(n for n, _ in problem.structure.deterministics)
    if not names:
        return symmetry
    axes, recomputed = dict(symmetry.axes), []
    for name, places in _deterministic_axes(problem, symmetry, draws, names).items():
        if places is None:
            recomputed.append(name)
        elif places:
            axes[name] = places
    return replace(symmetry, axes=axes, recomputed=tuple(recomputed))


def _holds(problem: Problem, symmetry: LabelSymmetry, values: Globals) -> bool:
    """Whether exchanging components leaves the density unchanged at one draw."""
    densities = problem.component_densities
    known = all(f is not None for f in problem.emission_families.values())
    if densities is None or known and symmetry.full:
        return True
    log_prior, here = densities.log_prior(values), densities.by_component(values)
    for members in symmetry.classes:
        order = exchanged(members[0], members[-1], symmetry.components)
        moved = permute_labels(values, symmetry.axes, order)
        if not same(log_prior, densities.log_prior(moved)):
            return False
        if not exchanges(here, densities.by_component(moved), order):
            return False
    return True


def _deterministic_axes(
    problem: Problem, symmetry: LabelSymmetry, draws: list[Globals], names: tuple[str, ...]
) -> dict[str, tuple[Place, ...] | None]:
    """Axes of a deterministic site that are permuted with its components; None where none is."""
    orders = [
        exchanged(first, second, symmetry.components)
        for members in symmetry.classes
        for first, second in zip(members, members[1:], strict=False)
    ]
    pairs = []
    for draw in draws:
        here = _values(problem, draw, names)
        for order in orders:
            moved = permute_labels(draw, symmetry.axes, order)
            pairs.append((here, _values(problem, moved, names), order))
    return {
        name: _places([(a[name], b[name], order) for a, b, order in pairs], symmetry.components)
        for name in names
    }


def _values(problem: Problem, values: Globals, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    deterministic = deterministic_values(
        problem.model, values, structure=problem.structure, names=names
    )
    return {n: np.asarray(v) for n, v in deterministic.items()}


@quickly(static=("structure", "names"))
def deterministic_values(
    model: Model, values: Globals, *, structure: Structure, names: tuple[str, ...]
) -> dict[str, Array]:
    """Deterministic sites at values of the global sites."""
    trace = model.trace_at(values, structure)
    return {n: trace[n]["value"] for n in names}


def _places(
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]], components: int
) -> tuple[Place, ...] | None:
    """The smallest set of axes whose entries were permuted."""
    shape = np.shape(pairs[0][0])
    possible = [
        (axis, start)
        for axis, length in enumerate(shape)
        if 2 <= length
        for start in range(max(1, components - length + 1))
        if abs(components - length) <= 2
    ]
    sets = chain.from_iterable(combinations(possible, count) for count in range(3))
    for places in sets:
        if len({axis for axis, _ in places}) == len(places) and all(
            same(_moved(before, places, order), after) for before, after, order in pairs
        ):
            return places
    return None


def _moved(value: np.ndarray, places: tuple[Place, ...], order: np.ndarray) -> np.ndarray:
    moved = np.asarray(value)
    for axis, start in places:
        length = moved.shape[axis]
        positions = entries(order, length, start)
        if positions.min() < 0 or positions.max() >= length:
            return np.full(moved.shape, np.nan)
        moved = moved.take(positions, axis)
    return moved
