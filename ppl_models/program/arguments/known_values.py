"""Data whose values a program looks at in Python, such as ``len(np.unique(county))``.

Data enter a program as tracers, so that one compiled function serves all data of a shape. A program
that takes a size from values, ``int(group.max()) + 1``, or finds the missing cells by ``np.isnan``,
needs the numbers themselves: these data become constants of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ppl_models.errors import ProgramFailed

#: JAX's errors where Python asks for the value of a tracer
CONCRETE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)


class KnownArray:
    """An array that is part of a program: two of equal numbers are equal.

    Args:
        values: its numbers.

    >>> KnownArray(np.arange(2)) == KnownArray(np.array([0, 1]))
    True
    """

    def __init__(self, values: np.ndarray):
        self.values = np.asarray(values)
        self._key = (self.values.shape, self.values.dtype.str, self.values.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownArray) and self._key == other._key


def with_known_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as a program takes them: known arrays as NumPy's."""
    return {n: v.values if isinstance(v, KnownArray) else v for n, v in arguments.items()}


def known_values(arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The known arrays among a model's arguments, which are data."""
    return {n: v.values for n, v in arguments.items() if isinstance(v, KnownArray)}


@dataclass(frozen=True)
class ReadsValues:
    """A program looks at the values of data.

    Args:
        message: what it says where nothing helps.
        runs_with: whether the program runs where data of these names are known.
        cause: the program's own error.
    """

    message: str
    runs_with: Callable[[frozenset[str]], bool]
    cause: Exception

    def error(self) -> ProgramFailed:
        """The error to raise where no known values help."""
        failed = ProgramFailed(self.message)
        failed.__cause__ = self.cause
        return failed


def needed(names: list[str], runs_with: Callable[[frozenset[str]], bool]) -> frozenset[str] | None:
    """The fewest data that a program must know by value; None where knowing all does not help.

    Args:
        names: of the data; of the first of them it is tried first to do without.
        runs_with: whether the program runs where data of these names are known.

    >>> sorted(needed(["y", "county"], lambda known: "county" in known))
    ['county']
    """
    known = frozenset(names)
    if not runs_with(known):
        return None
    for name in names:
        if runs_with(known - {name}):
            known = known - {name}
    return known
