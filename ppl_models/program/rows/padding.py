"""Rows padded to one of a few numbers, so that data of a like size share compiled programs.

Padding rows have weight 0, see ``row_weights.py``: they add nothing to any sum, and the answer is
that of the rows alone up to rounding. They repeat rows of the data, so that their values are valid.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal
from jax.interpreters import partial_eval

from ppl_models.distributions.convert import as_family
from ppl_models.program.model import Model
from ppl_models.program.rows.order import rows_depend_on_places
from ppl_models.program.rows.weights import uses_row_weights
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace.structure import Structure

LEAST = 16  #: rows, at least
#: rows at least where they are of few numbers: passes over so little take less than a millisecond,
#: and another number of rows would compile everything anew
LEAST_OF_NARROW = 512
NARROW = 32  #: numbers of a row, at most
STEPS = 4  #: numbers of rows between one power of two and the next
FINER = 4096  #: rows from which on there are twice as many, for a pass takes longer there
MOST = 65_536  #: rows from which on none are added: to compile takes no longer than to pass over

padding = True  #: whether rows are padded; off, to compare


def padded_count(rows: int, width: int) -> int:
    """The number of rows that data of so many rows are padded to.

    Args:
        rows: how many there are.
        width: numbers of a row.

    >>> [padded_count(n, 2) for n in (3, 272, 600, 5000, 100_001)]
    [512, 512, 640, 5120, 100001]
    >>> [padded_count(n, 784) for n in (3, 272)]
    [16, 320]
    """
    if rows > MOST:
        return rows
    least = LEAST_OF_NARROW if width <= NARROW else LEAST
    if rows <= least:
        return least
    unit = (1 << (rows - 1).bit_length() - 1) // (STEPS if rows < FINER else 2 * STEPS)
    return -(-rows // unit) * unit


def row_width(data: Mapping[str, Any]) -> int:
    """Numbers of a row of the data, all sites together.

    >>> row_width({"x": np.zeros((5, 3)), "y": np.zeros(5)})
    4
    """
    return sum(math.prod(np.shape(v)[1:]) for v in data.values())


def pad_rows(value: Any, count: int) -> np.ndarray:
    """An array with more rows, those that it has over and over again.

    >>> pad_rows(np.array([1, 2]), 5).tolist()
    [1, 2, 1, 2, 1]
    """
    array = np.asarray(value)
    return array if len(array) == count else array[np.arange(count) % len(array)]


def with_rows(structure: Structure, count: int) -> Structure:
    """The structure of the same program with another number of rows.

    Args:
        structure: of the program.
        count: of rows.
    """
    shape = structure.assignment_shape
    if shape == (structure.rows,):
        shape = (count,)
    return replace(structure, rows=count, assignment_shape=shape)


def padded_structure(
    structure: Structure, rows: int, data: Mapping[str, Any], *, narrow: bool = True
) -> Structure:
    """The structure of the same program with the number of rows that so many are padded to.

    Args:
        structure: of the program.
        rows: how many there are.
        data: some of them.
        narrow: whether rows of few numbers are padded to more; no: as wide ones are.
    """
    width = row_width(data) if narrow else NARROW + 1
    return with_rows(structure, padded_count(rows, width))


def padded(model: Model, structure: Structure) -> tuple[Model, Structure] | None:
    """The program on padded rows; None where rows are not padded.

    Rows are padded where sufficient statistics sum them up: emissions are exponential families
    without hidden states, and all rows share the clusters' weights. They are not where the priors
    depend on the data and take no row weights.
    """
    rows, count = structure.rows, padded_count(structure.rows, row_width(model.data))
    if not padding or rows == 0 or count == rows and model.weights is not None or rows > MOST:
        return None
    leaves = jax.tree.leaves(model)
    if model.padding or any(isinstance(v, jax.core.Tracer) for v in leaves):
        return None
    if model.pairs is not None or model.partly:
        return None
    special = (
        structure.chain,
        structure.coupled,
        structure.labelled,
        structure.locals,
        structure.given_locals,
    )
    if structure.indexed or structure.lines or structure.computed or any(special):
        return None
    if structure.likelihoods or structure.row_factors or structure.row_deterministics:
        return None
    if any(len(v) != rows for v in model.data.values()) or model.units is not None:
        return None
    if not set(model.data) <= set(inspect.signature(model.function).parameters):
        return None  # what is known of the rows beside the program's data
    if rows_depend_on_places(model, structure):
        return None
    data = {n: pad_rows(v, count) for n, v in model.data.items()}
    counts = np.ones(rows) if model.weights is None else np.asarray(model.weights)
    weights = np.zeros(count, jax.numpy.result_type(float))
    weights[:rows] = counts
    wider = replace(model, data=data, weights=weights, padding=model.weights is None)
    shape = structure.assignment_shape
    if shape not in ((), (rows,)):
        return None
    padded_structure = with_rows(structure, count)
    return (wider, padded_structure) if _safe(wider, padded_structure) else None


def _safe(model: Model, structure: Structure) -> bool:
    """Whether the program's rows may be padded, as far as its densities tell it."""
    leaves, tree = jax.tree.flatten(model)
    shapes = tuple(
        (np.shape(v), jax.dtypes.canonicalize_dtype(jax.numpy.result_type(v)).str) for v in leaves
    )
    return _found_safe(tree, shapes, structure)


@lru_cache(maxsize=256)
def _found_safe(tree: Any, shapes: tuple[tuple[tuple, str], ...], structure: Structure) -> bool:
    model = jax.tree.unflatten(tree, [jax.ShapeDtypeStruct(s, np.dtype(d)) for s, d in shapes])
    values = {s.name: jax.ShapeDtypeStruct(s.shape, model.weights.dtype) for s in structure.sites}
    allowed: list[bool] = []

    def read(model: Model, values: Any) -> None:
        pieces = model.pieces(values, structure)
        families = [as_family(emission) for emission in pieces.emissions.values()]
        common = pieces.log_weights is None or pieces.log_weights.shape[1] == 1
        allowed.append(common and not pieces.scales and all(map(_without_paths, families)))

    attempted(lambda: jax.eval_shape(read, model, values))
    if not allowed or not all(allowed):
        return False
    return uses_row_weights(model.function) or not _priors_see_rows(model, structure, values)


def _without_paths(family: Any) -> bool:
    """Whether an emission is a family that hides nothing of its own, equal for all rows."""
    if family is None or family.latent or family.keeps_rows:
        return False
    return family.batch_shape[-1:] in ((), (1,))


def _priors_see_rows(model: Model, structure: Structure, values: Any) -> bool:
    """Whether the priors depend on the data, or on how many rows there are."""
    fewer = replace(
        model,
        data={n: jax.ShapeDtypeStruct((1, *v.shape[1:]), v.dtype) for n, v in model.data.items()},
        weights=jax.ShapeDtypeStruct((1,), model.weights.dtype),
    )
    here = attempted(lambda: _of_priors(model, structure, values))
    there = attempted(lambda: _of_priors(fewer, replace(structure, rows=1), values))
    return here is None or here != there


def _of_priors(model: Model, structure: Structure, values: Any) -> str | None:
    """The computation of the priors as a text; None where it uses the data."""

    def priors(data: Any, rest: Model, values: Any) -> Any:
        model = replace(rest, data=data)
        by_site = model.pieces(values, structure).priors
        return {n: jax.tree.leaves(p) for n, p in by_site.items()}

    rest = replace(model, data={})
    made = jax.make_jaxpr(priors)(model.data, rest, values)
    jaxpr, used = partial_eval.dce_jaxpr(made.jaxpr, [True] * len(made.jaxpr.outvars))
    if any(used[: len(jax.tree.leaves(model.data))]):
        return None
    # constants are told by their numbers, as far as they are used
    used_variables = {v for e in jaxpr.eqns for v in e.invars if not isinstance(v, Literal)}
    used_variables |= {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    constants = [
        np.asarray(c).tobytes()
        for v, c in zip(made.jaxpr.constvars, made.consts, strict=True)
        if v in used_variables
    ]
    return f"{jaxpr} {constants}"
