"""The programs of recent fits, which the next question to a fit does not read again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import catalogue, memory
from ppl_models.data.kinds import Observed
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.schema import ROW_ORDER


class RecentProblems:
    """The programs of the last few fits on the data that they were fitted to.

    A fit is often asked several things in a row, and to read its program takes ten times as long as
    what is asked of a few thousand rows. A program is known again by all that it is read from: the
    function, its arguments, what is held, the precision and every number of the data.

    Args:
        most: programs that are kept.
    """

    def __init__(self, most: int = 4):
        self.most = most
        self.known: OrderedDict[tuple[Any, ...], Problem] = OrderedDict()

    def get(
        self,
        tree: xr.DataTree,
        data: Mapping[str, Observed],
        read: Callable[[], Problem],
        weights: np.ndarray | None = None,
    ) -> Problem:
        """The problem of a tree: one that is kept, or else what ``read`` returns."""
        if sum(o.values.nbytes for o in data.values()) > memory.REMEMBERED_BYTES:
            return read()
        key = (
            catalogue.program(tree.attrs["program"]),
            *(tree.attrs[name] for name in ("arguments", "fixed", "precision")),
            tree.attrs.get(ROW_ORDER, 0),
            *((name, o.dims, digest(o.values)) for name, o in data.items()),
            None if weights is None else digest(weights),
        )
        problem = self.known.pop(key, None) or read()
        self.known[key] = problem
        if len(self.known) > self.most:
            self.known.popitem(last=False)
        return problem


def digest(array: np.ndarray) -> tuple[Any, ...]:
    """Shape, type and a hash of all numbers of an array.

    >>> digest(np.zeros(2)) == digest(np.zeros(2)), digest(np.zeros(2)) == digest(np.ones(2))
    (True, False)
    """
    content = array.tolist() if array.dtype.kind == "O" else np.ascontiguousarray(array)
    held = repr(content).encode() if isinstance(content, list) else content.tobytes()
    return array.shape, array.dtype.str, hashlib.blake2b(held).hexdigest()


RECENT = RecentProblems()
