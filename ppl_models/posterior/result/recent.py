"""Cache of the programs of recent fits."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import catalogue, memory
from ppl_models.data.kinds import Observed
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.schema import ROW_ORDER, SUMMARY

DATA_GROUPS = ("observed_data", "constant_data")  #: groups of a tree that hold its rows
#: attributes of a tree that its program is read with
READ_FROM = ("arguments", "fixed", "precision", "coordinate_labels", ROW_ORDER, SUMMARY)

RecentProblem = tuple[Problem, dict[str, Observed]]  #: a program on rows, and the rows


class RecentProblems:
    """Cache of the last few fits' problems on their own data.

    Functions are often called on one fit several times in a row, and reading its program takes ten
    times as long as a prediction for a few thousand rows. The key of the cache is everything that
    the program is read from: the function, its arguments, the fixed sites, the precision and every
    number of the data.

    Args:
        most: programs that are kept.
    """

    def __init__(self, most: int = 4):
        self.most = most
        self.known: OrderedDict[tuple[Any, ...], RecentProblem] = OrderedDict()

    def get(self, tree: xr.DataTree, read: Callable[[], RecentProblem]) -> RecentProblem:
        """The cached problem of a tree and its rows; otherwise the result of ``read``."""
        arrays = [
            (str(name), variable)
            for group in DATA_GROUPS
            if group in tree.children
            for name, variable in tree[group].variables.items()
        ]
        if sum(variable.nbytes for _, variable in arrays) > memory.REMEMBERED_BYTES:
            return read()
        key = (
            catalogue.program(tree.attrs["program"]),
            *(tree.attrs.get(name) for name in READ_FROM),
            *((name, variable.dims, digest(variable.values)) for name, variable in arrays),
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
