"""Numbers of groups that index arrays refer to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError


def largest(name: str) -> Callable[..., int]:
    """A function of the data parameter ``name``: the number of its codes, which start at 0.

    >>> largest("item")(item=np.array([0, 2, 1]))
    3
    """

    def make(**data: Any) -> int:
        codes = np.asarray(data[name])
        return int(codes[~missing_cells(codes)].max()) + 1

    parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
    make.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return make


def count_of(count: int | None, codes: Any) -> int:
    """The number of things: as given, or one more than the largest code.

    Raises:
        InputError: neither is there.
    """
    if count is not None:
        return int(count)
    if codes is None:
        raise InputError("without data, give the number of levels, as in levels=3")
    return int(np.asarray(codes).max()) + 1


def columns_of(name: str) -> Callable[..., int]:
    """A function of the data parameter ``name``: the number of its columns; 0 without it.

    >>> columns_of("bits")(bits=np.zeros((5, 2))), columns_of("bits")()
    (2, 0)
    """

    def make(**data: Any) -> int:
        return 0 if data.get(name) is None else int(np.shape(data[name])[1])

    parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
    make.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return make
