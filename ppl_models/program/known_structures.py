"""Structures of the package's own programs, kept by what a trace sees of their data.

To trace a program takes longer than EM on a few hundred rows, and most fits ask the same of it, of
more or fewer rows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models import catalogue
from ppl_models.program.arguments.known_values import ReadsValues
from ppl_models.program.model import Model
from ppl_models.program.rows.padding import with_rows
from ppl_models.program.runtime.compiling import REMEMBERED
from ppl_models.program.structure_reading import structure_or_obstacle
from ppl_models.program.trace.renamed_sites import NameClash
from ppl_models.program.trace.structure import Structure

_KNOWN: OrderedDict[Any, Structure] = OrderedDict()


def known_structure(model: Model) -> Structure | NameClash | ReadsValues:
    """:func:`structure_or_obstacle`, of a program of this package once for all numbers of rows.

    Args:
        model: the program with its data.

    Raises:
        InputError: as there.
    """
    key = _traits(model)
    rows = len(next(iter(model.data.values()), ()))
    known = None if key is None else _KNOWN.pop(key, None)
    if known is not None:
        _KNOWN[key] = known  # the last to be forgotten
        return with_rows(known, rows)
    reading = structure_or_obstacle(model)
    if key is not None and isinstance(reading, Structure) and _only_sized_by_rows(reading, rows):
        _KNOWN[key] = reading
        if len(_KNOWN) > REMEMBERED:
            _KNOWN.popitem(last=False)
    return reading


def _traits(model: Model) -> Any:
    """What a trace sees of a model but for the number of its rows; None where it sees that too."""
    rows = len(next(iter(model.data.values()), ()))
    special = (model.units, model.pairs, model.partly or None)
    if not rows or not catalogue.is_built_in(model.function) or any(s is not None for s in special):
        return None
    shapes = {n: np.shape(v) for n, v in model.data.items()}
    if any(shape[:1] != (rows,) for shape in shapes.values()):
        return None
    leaves, tree = jax.tree.flatten(replace(model, data={}, weights=None))
    if any(isinstance(v, jax.core.Tracer) for v in (*leaves, *model.data.values())):
        return None
    of_leaves = tuple((np.shape(v), str(jnp.result_type(v))) for v in leaves)
    sizes = [v for v in model.arguments.values() if isinstance(v, int)]
    sizes += [size for shape, _ in of_leaves for size in shape]
    sizes += [size for shape in shapes.values() for size in shape[1:]]
    if rows <= max(sizes, default=1):  # a size that may be theirs by chance
        return None
    of_data = tuple((n, shapes[n][1:], str(jnp.result_type(v))) for n, v in model.data.items())
    key = tree, of_leaves, of_data, model.weights is None, jnp.result_type(float)
    try:
        hash(key)
    except TypeError:  # an argument without a hash
        return None
    return key


def _only_sized_by_rows(structure: Structure, rows: int) -> bool:
    """Whether another number of rows changes nothing of a structure but that number."""
    plain = structure.rows == rows and structure.assignment_shape in ((), (rows,))
    own = (
        structure.lines, structure.indexed, structure.computed, structure.sources,
        structure.local_sites, structure.locals, structure.given_locals, structure.labelled,
    )  # fmt: skip
    sized = any(rows in site.shape for site in structure.sites)
    return plain and structure.chain is None and not any(own) and not sized
