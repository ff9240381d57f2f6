"""Levels of categories on the scale that a program has for them.

A program whose number of levels comes from the data (argument ``levels``) has the levels of every
column. Any other has a scale of its own: cut points of answers from 0 to 3, one entry for each of
20 groups. On such a scale a level that does not occur keeps its place.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ppl_models.data.kinds import checks
from ppl_models.data.kinds.categories import known_levels
from ppl_models.data.kinds.observed import Observed
from ppl_models.data.missing import missing_cells


def sizes_of(function: Callable, arguments: Mapping[str, Any]) -> frozenset[int] | None:
    """The whole numbers among a program's arguments, one of which may count levels.

    Args:
        function: the program.
        arguments: given to it.

    Returns:
        None where the program takes its levels from the data; only the number of levels where an
        argument is called so.

    >>> def program(y=None, *, clusters, levels=4): ...
    >>> sorted(sizes_of(program, {"clusters": 2}))
    [4]
    """
    parameters = inspect.signature(function).parameters
    empty = inspect.Parameter.empty
    if "levels" in parameters:
        default = parameters["levels"].default
        levels = arguments.get("levels", None if default is empty else default)
        if not isinstance(levels, int):  # by column, or still to be read
            return None
        return frozenset({levels})
    defaults = {n: p.default for n, p in parameters.items() if p.default is not empty}
    values = {**defaults, **arguments}.values()
    return frozenset(v for v in values if isinstance(v, int) and not isinstance(v, bool))


def on_one_scale(reading: Observed, site: str, sizes: frozenset[int] | None) -> Observed:
    """Categories coded on one scale of levels for all columns, with levels that never occur.

    Args:
        reading: categories as they were read, each column with the levels that it has.
        site: name of the program's data parameter.
        sizes: see :func:`sizes_of`.

    >>> from ppl_models.data import Categories
    >>> read = Categories.read([[0, 1], [3, 0], [1, 1]])
    >>> on_one_scale(read, "y", frozenset({4})).values.tolist()  # and not [[0, 1], [2, 0], [1, 1]]
    [[0, 1], [3, 0], [1, 1]]
    """
    by_column = known_levels(reading.coords)
    if sizes is None or not by_column:
        return reading
    scale = _scale(list(by_column.values()), sizes)
    if scale is None:
        _warn_of_moving(by_column, site)
        return reading
    if all(labels == scale for labels in by_column.values()):
        return reading
    columns = reading.values.reshape(len(reading.values), -1)
    recoded = columns.copy()
    for number, labels in enumerate(by_column.values()):
        seen = ~missing_cells(columns[:, number])
        places = np.array([scale.index(label) for label in labels])
        recoded[seen, number] = places[columns[seen, number].astype(int)]
    names = [f"{name}={label}" for name in by_column for label in scale]
    return replace(
        reading,
        values=recoded.reshape(reading.values.shape),
        coords={**reading.coords, "level": np.array(names, dtype=str)},
        arguments={**reading.arguments, "levels": (len(scale),) * len(by_column)},
    )


def _scale(columns: Sequence[Sequence[str]], sizes: frozenset[int]) -> list[str] | None:
    """The labels of all levels in order; None where nothing says what they are."""
    union = {label for labels in columns for label in labels}
    if not all(label.isdigit() for label in union):
        longest = max(columns, key=len)
        return list(longest) if set(longest) == union and len(union) in sizes else None
    numbers = sorted(map(int, union))
    low, high = numbers[0], numbers[-1]
    chosen: Sequence[int]
    if low == 0 and high + 1 == len(numbers) and len({tuple(labels) for labels in columns}) == 1:
        chosen = numbers
    elif len(numbers) in sizes and low > 0:
        chosen = numbers
    elif high - low + 1 in sizes:
        chosen = range(low, high + 1)
    else:  # the numbers are places, as in bare NumPyro
        chosen = range(min((s for s in sizes if s > high), default=0))
    return [str(number) for number in chosen] or None


def _warn_of_moving(by_column: Mapping[str, Sequence[str]], site: str) -> None:
    """Warn where one label has different codes in different columns."""
    codes: dict[str, tuple[str, int]] = {}
    for column, labels in by_column.items():
        for code, label in enumerate(labels):
            before = codes.setdefault(label, (column, code))
            if before[1] != code:
                warnings.warn(
                    f"level '{label}' of {site} is number {before[1]} in column '{before[0]}', "
                    f"which has the levels {checks.shown(by_column[before[0]])}, and number {code} "
                    f"in column '{column}', which has {checks.shown(labels)}: declare the levels "
                    "by pandas.CategoricalDtype if the columns share a scale",
                    UserWarning,
                    stacklevel=2,
                )
                return
