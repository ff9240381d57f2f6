"""What is known of all rows of a data set that a program sees a part of.

Default priors look at the data. Where these are read in blocks, the program must set its priors by
all rows and not by those of a block: within the wrapped program, `current` tells of all.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

_CURRENT: ContextVar[Summary | None] = ContextVar("summary", default=None)


@dataclass(frozen=True)
class Summary:
    """Of all rows: their number, and every feature's moments.

    Args:
        rows: number of rows.
        mean: of every feature, gaps left out, ``()`` or ``(feature,)``.
        deviation: standard deviation.
        unit: that the data are rounded to, see ``models._scale.unit_of_data``.
        missing: whether a cell is missing.
    """

    rows: int
    mean: np.ndarray
    deviation: np.ndarray
    unit: np.ndarray
    missing: bool

    def to_text(self) -> str:
        """As JSON; every number comes back as it was."""
        numbers = {n: getattr(self, n).tolist() for n in ("mean", "deviation", "unit")}
        return json.dumps({"rows": self.rows, "missing": self.missing, **numbers})

    @classmethod
    def of_text(cls, text: str) -> Summary:
        """Inverse of `to_text`."""
        fields = json.loads(text)
        arrays = {n: np.asarray(fields[n], float) for n in ("mean", "deviation", "unit")}
        return cls(fields["rows"], missing=fields["missing"], **arrays)


def current() -> Summary | None:
    """What is known of all rows, within a program that `knowing` wraps; else None."""
    return _CURRENT.get()


@functools.lru_cache(maxsize=16)
def knowing(function: Callable, text: str) -> Callable:
    """The program, which sets its priors by all rows; equal summaries give the same function.

    Args:
        function: the program.
        text: a `Summary` as JSON.
    """
    summary = Summary.of_text(text)

    @functools.wraps(function)
    def program(*data: Any, **arguments: Any) -> Any:
        token = _CURRENT.set(summary)
        try:
            return function(*data, **arguments)
        finally:
            _CURRENT.reset(token)

    return program
