"""Refusals of missing cells that a program cannot leave out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ppl_models.data.missing import has_missing, missing_cells
from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.missing_cells import drops_out
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import evaluate
from ppl_models.program.parameters.values import own_distribution
from ppl_models.program.runtime.keys import make_key


def refuse_missing_cells(problem: Problem, *, fitted: bool = False) -> None:
    """Refuse missing cells that the program cannot marginalise.

    Args:
        problem: program and data.
        fitted: whether the global sites have values already, so that their priors do not count.

    Raises:
        InputError: :func:`missing_cells_fault`.
    """
    if (fault := missing_cells_fault(problem, fitted=fitted)) is not None:
        raise InputError(fault)


def missing_cells_fault(problem: Problem, *, fitted: bool = False) -> str | None:
    """Why missing cells cannot be marginalised, and what to do; None: they can, or none is missing.

    A joint distribution of cells some of which are missing, or a program that computes with missing
    cells.

    Args:
        problem: program and data.
        fitted: whether the global sites have values already, so that their priors do not count.
    """
    return next(_faults(problem, fitted), None)


def _faults(problem: Problem, fitted: bool) -> Iterator[str]:
    data = {n: np.asarray(v) for n, v in problem.model.data.items()}
    missing = {n: missing_cells(v) for n, v in data.items() if has_missing(v)}
    if not missing:
        return
    yield from _computations(problem, missing, priors=not fitted)
    for name, emission in problem.example.emissions.items():
        emission, unit, remedy = unwrap(emission), "row", "drop these rows"
        family = as_family(emission)
        if family is not None and family.state_distribution is not None:
            emission, unit = family.state_distribution, "step"
            remedy = "mark all cells of these steps as missing"
        if name not in missing or drops_out(emission):
            continue
        if name in problem.structure.likelihoods:
            yield (
                f"'{name}' has missing cells, of which factor '{name}' has no density: drop these "
                "rows, or observe them by a distribution, numpyro.sample(..., obs=)"
            )
        cells = missing[name].reshape(-1, math.prod(emission.event_shape))
        partly = cells.any(1) & ~cells.all(1)
        if partly.any():
            yield (
                f"site '{name}' emits from {type(own_distribution(emission)).__name__}, which has "
                f"no density of a {unit} of which some cells are missing, as in {partly.sum()} of "
                f"{len(partly)} {unit}s, the first of them {unit} {partly.argmax()}: {remedy}"
            )


def _computations(
    problem: Problem, missing: dict[str, np.ndarray], *, priors: bool
) -> Iterator[str]:
    """What stands in place of a missing cell must not enter a prior or a parameter."""
    unpadded = problem.read_from or problem
    values = unpadded.structure.initial(make_key(0))
    data = {n: np.asarray(v) for n, v in unpadded.model.data.items()}
    for kind, differs in (("f", _was_nan), ("i", _has_moved)):
        chosen = {n: gap for n, gap in missing.items() if data[n].dtype.kind == kind}
        if not chosen:
            continue
        other = {n: _otherwise(v, missing_cells(v)) if n in chosen else v for n, v in data.items()}
        model = replace(unpadded.model, data=other)
        there = evaluate(model, values, structure=unpadded.structure)
        pairs = zip(_parts(unpadded.example, priors), _parts(there, priors), strict=True)
        for place in (p for (p, one), (_, two) in pairs if differs(one, two)):
            count = max(gap.reshape(len(gap), -1).any(1).sum() for gap in chosen.values())
            yield (
                f"{place} is computed from cells of '{next(iter(chosen))}' that are missing: "
                "leave them out of the computation (jnp.nanmean, jnp.nanstd), or drop the "
                f"rows that have them ({count})"
            )


def _otherwise(value: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """The same data with something else in place of missing cells: a number, or another code."""
    if value.dtype.kind == "f":
        return np.where(gap, value[~gap].flat[0] if (~gap).any() else 0, value)
    return np.where(gap, value - 1, value)


def _parts(pieces: Pieces, priors: bool) -> Iterator[tuple[str, Any]]:
    for name, prior in pieces.priors.items() if priors else ():
        yield f"the prior of site '{name}'", prior
    yield "the assignment's distribution", pieces.weights
    for name, emission in pieces.emissions.items():
        yield f"the distribution of site '{name}'", emission


def _was_nan(here: Any, there: Any) -> bool:
    """Whether a number is NaN because cells are missing."""
    return any((np.isnan(one) & ~np.isnan(two)).any() for one, two in _numbers(here, there))


def _has_moved(here: Any, there: Any) -> bool:
    """Whether a number changes with the code that stands for a missing cell."""
    return any(not np.allclose(one, two, equal_nan=True) for one, two in _numbers(here, there))


def _numbers(here: Any, there: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for one, two in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        if jax.numpy.issubdtype(jax.numpy.result_type(one), jax.numpy.floating):
            yield np.asarray(one), np.asarray(two)
