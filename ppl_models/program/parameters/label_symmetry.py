"""Which components of a program may change places, and which axes of its sites go with them.

It is found by exchanging components in the density: two components are exchangeable if some set of
axes of the global sites, entries of both exchanged, leaves the log joint density as it is and
exchanges the two components' densities of every row. Names of sites and plates only say which axes
are tried first. Where a prior, a constant or a covariate tells clusters apart, no clusters may
change places, or a part of them only: all but the noise component, for instance.
Stephens (2000), Dealing with label switching in mixture models, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any, Protocol

import numpy as np

from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterMap
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure

SHORTER = 2  #: an axis may lack so many components (a reference category, a noise component)
SETS = 4096  #: sets of axes that are tried, at most
WORK = 2e8  #: component densities of rows that are evaluated, at most
EVALUATIONS = 300  #: evaluations of all rows, at most
#: A site's axis, and the component that its first entry is of.
Place = tuple[int, int]


@dataclass(frozen=True)
class LabelSymmetry:
    """Components that may change places.

    Args:
        components: how many there are: clusters, hidden states, or terms of a mixture distribution.
        classes: those that may change places with each other, each class in increasing order;
            components that none is exchangeable with are left out.
        axes: site -> its axes that run over components, each with the component that the axis
            begins with. What is beyond the last component (the end of a chain) stays. A fit adds
            those of its deterministic sites.
        recomputed: deterministic sites that change otherwise, such as the largest cluster's number.
        reason: why there are no classes.
    """

    components: int = 0
    classes: tuple[tuple[int, ...], ...] = ()
    axes: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    recomputed: tuple[str, ...] = ()
    reason: str = "the program has no components"

    @property
    def full(self) -> bool:
        """Whether all components may change places."""
        return len(self.classes) == 1 and len(self.classes[0]) == self.components

    def without(self, components: set[int], reason: str) -> LabelSymmetry:
        """The symmetry that is left where some components may not change places.

        Args:
            components: those that may not.
            reason: why, where no others are left.

        >>> LabelSymmetry(4, ((0, 1, 2, 3),)).without({1}, "").classes
        ((0, 2, 3),)
        """
        left = (tuple(k for k in members if k not in components) for members in self.classes)
        classes = tuple(members for members in left if len(members) > 1)
        if classes:
            return replace(self, classes=classes)
        return replace(self, classes=(), axes={}, reason=reason if self.classes else self.reason)

    def class_of(self) -> np.ndarray:
        """A number for every component, the same within a class, ``(component,)``.

        >>> LabelSymmetry(4, ((1, 2, 3),)).class_of().tolist()
        [0, 1, 1, 1]
        """
        numbers = np.arange(self.components)
        for members in self.classes:
            numbers[list(members)] = members[0]
        return numbers


class Densities(Protocol):
    """The density of a program with components, evaluated at values of its global sites."""

    components: int

    def log_prior(self, values: Globals) -> np.ndarray:
        """Log prior density of the global sites."""
        ...

    def by_component(self, values: Globals) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        """Arrays that the density is made of, and their axes that run over components."""
        ...

    def usable(self, values: Globals) -> bool:
        """Whether every component has a finite density of some row there."""
        ...


def exchanged(first: int, second: int, components: int) -> np.ndarray:
    """The order of components in which two have changed places.

    >>> exchanged(0, 2, 3).tolist()
    [2, 1, 0]
    """
    order = np.arange(components)
    order[[first, second]] = second, first
    return order


def entries(order: np.ndarray, length: int, start: int) -> np.ndarray:
    """Positions of an axis in a new order of components.

    Args:
        order: of the components, ``(component,)``.
        length: of the axis.
        start: the component of its first entry; entries beyond the last component stay.

    >>> entries(np.array([0, 2, 1]), 2, 1).tolist(), entries(np.array([1, 0]), 3, 0).tolist()
    ([1, 0], [1, 0, 2])
    """
    positions = np.arange(length)
    mine = positions[positions + start < len(order)]
    positions[mine] = order[mine + start] - start
    return positions


def permute_labels(
    values: Mapping[str, Any],
    axes: Mapping[str, tuple[Place, ...]],
    order: np.ndarray,
    *,
    leading: int = 0,
) -> dict[str, Any]:
    """Global sites with their components in another order.

    Args:
        values: of the sites.
        axes: see :class:`LabelSymmetry`.
        order: the old component in every new place, ``(component,)``.
        leading: axes before the site's own (draws, iterations).
    """
    moved = dict(values)
    for name, places in axes.items():
        for axis, start in places if name in moved else ():
            value = moved[name]
            length = value.shape[axis + leading]
            moved[name] = value.take(entries(order, length, start), axis + leading)
    return moved


def find_symmetry(
    densities: Densities, model: Model, structure: Structure, parameter_map: ParameterMap
) -> LabelSymmetry:
    """Try which exchanges of components leave the density as it is.

    Args:
        densities: of the program.
        model: the program with its data.
        structure: what was read off its trace.
        parameter_map: its sites that are parameters; they say which axes are tried first.
    """
    count = densities.components
    if count < 2:
        return LabelSymmetry(count, reason="there is one component")
    sets = tuple(_sets_of_axes(structure, parameter_map, count))
    if not sets:  # no site has an entry a component, as of the times of two change points
        return LabelSymmetry(count, reason=_TOLD_APART)
    values = _usable_point(densities, structure)
    if values is None:
        return LabelSymmetry(
            count, reason="no values of the sites were found at which every component has a density"
        )
    search = _Search(densities, values, _rows_of(structure) * count)
    for pair in combinations(range(count), 2):
        for axes in sets:
            if search.exchangeable(pair, axes):
                return LabelSymmetry(count, search.classes(axes), axes, reason="")
            if search.exhausted:
                return LabelSymmetry(count, reason=search.reason)
    return LabelSymmetry(count, reason=_TOLD_APART)


_TOLD_APART = (
    "a prior, a constant or a covariate of the program tells its components apart: no exchange of "
    "two leaves the density as it is"
)


def _rows_of(structure: Structure) -> int:
    return max(1, structure.rows)


def _usable_point(densities: Densities, structure: Structure) -> Globals | None:
    """Values of the global sites at which exchanges can be told from what they are not."""
    for radius in (1.0, 2.0, 0.1):
        for seed in (1, 2, 3):
            values = structure.initial(make_key(seed), radius)
            if np.isfinite(densities.log_prior(values)) and densities.usable(values):
                return values
    return None


class _Search:
    """Exchanges at one point, and what they cost."""

    def __init__(self, densities: Densities, values: Globals, size: int):
        self.densities, self.values = densities, values
        self.left = int(np.clip(WORK / size, 6, EVALUATIONS))
        self.log_prior = densities.log_prior(values)
        self.here = densities.by_component(values)

    @property
    def exhausted(self) -> bool:
        """Whether as much has been tried as may be."""
        return self.left <= 0

    @property
    def reason(self) -> str:
        """Why nothing was found."""
        return "too many axes could be those of the components: name them by plates"

    def exchangeable(self, pair: tuple[int, int], axes: Mapping[str, tuple[Place, ...]]) -> bool:
        """Whether two components are exchangeable along some axes."""
        order = exchanged(*pair, self.densities.components)
        if not axes or not _covered(pair, axes, self.values):
            return False
        moved = permute_labels(self.values, axes, order)
        log_prior = self.densities.log_prior(moved)
        if not (np.isfinite(log_prior) and same(self.log_prior, log_prior)):
            return False
        self.left -= 1
        return exchanges(self.here, self.densities.by_component(moved), order)

    def classes(self, axes: Mapping[str, tuple[Place, ...]]) -> tuple[tuple[int, ...], ...]:
        """Components that may change places: exchangeability is an equivalence."""
        groups: list[list[int]] = []
        for component in range(self.densities.components):
            group = next((g for g in groups if self.exchangeable((g[0], component), axes)), None)
            if group is None:
                groups.append([component])
            else:
                group.append(component)
        return tuple(tuple(g) for g in groups if len(g) > 1)


def _covered(
    pair: tuple[int, int], axes: Mapping[str, tuple[Place, ...]], values: Mapping[str, Any]
) -> bool:
    """Whether every axis has entries of both components, or of neither."""
    for name, places in axes.items():
        for axis, start in places:
            end = start + np.shape(values[name])[axis]
            if len({start <= component < end for component in pair}) == 2:
                return False
    return True


def exchanges(
    before: Sequence[tuple[np.ndarray, tuple[int, ...]]],
    after: Sequence[tuple[np.ndarray, tuple[int, ...]]],
    order: np.ndarray,
) -> bool:
    """Whether components of all arrays have come into another order."""
    for (value, axes), (moved, _) in zip(before, after, strict=True):
        expected = value
        for axis in axes:
            expected = expected.take(entries(order, value.shape[axis], 0), axis)
        if not same(expected, moved):
            return False
    return True


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to rounding; undefined in both (a row with a missing cell) counts as equal.

    Exchanged components are computed by the same operations, so that little rounding is expected.
    """
    tolerance = 1e-9 if np.result_type(one, other) == np.float64 else 1e-5
    return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True))


def _sets_of_axes(
    structure: Structure, parameter_map: ParameterMap, components: int
) -> Iterator[dict[str, tuple[Place, ...]]]:
    """Sets of axes that could be those of the components, the likeliest first.

    Axes of one name go together, whatever their sites. What is likeliest is the axis in front of a
    site, within a plate, that has an entry for every component.
    """
    groups = _groups(structure, components)
    linked = {link.site for link in parameter_map.links if not link.shared}
    choices: list[list[tuple[int | None, int]]] = []
    for (_, length), members in groups.items():
        first = all(axis == 0 for _, axis in members)
        likely = length == components and (first or any(s in linked for s, _ in members))
        starts = [*range(max(1, components - length + 1))]
        ranked: list[tuple[int | None, int]] = [(s, 0 if likely else 1) for s in starts]
        choices.append([*ranked, (None, 1 if likely else 0)])
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > SETS:  # more than can be tried: only axes with an entry for every component
        choices = [
            c if length == components else [(None, 0)]
            for c, (_, length) in zip(choices, groups, strict=True)
        ]
    tried = sorted(_first_sets(choices), key=lambda chosen: sum(cost for _, cost in chosen))
    for chosen in tried:
        axes: dict[str, tuple[Place, ...]] = {}
        for (start, _), members in zip(chosen, groups.values(), strict=True):
            for site, axis in members if start is not None else ():
                axes[site] = (*axes.get(site, ()), (axis, start))
        if axes:
            yield axes


def _first_sets(choices: list[list[tuple[int | None, int]]]) -> Iterator[tuple]:
    for number, chosen in enumerate(product(*choices)):
        if number >= SETS:
            return
        yield chosen


def _groups(structure: Structure, components: int) -> dict[tuple[str, int], list[tuple[str, int]]]:
    """Name and length of axes that may run over components -> sites and positions."""
    groups: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for site in structure.sites:
        for axis, (dim, length) in enumerate(zip(site.dims, site.shape, strict=True)):
            if 2 <= length and components - SHORTER <= length <= components + 1:
                groups.setdefault((dim, length), []).append((site.name, axis))
    return groups
