"""Row weights: which programs and methods take them, and how Gibbs sampling draws weighted rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ppl_models import memory
from ppl_models.data.derived import LINE_WEIGHTS, ROW_WEIGHTS
from ppl_models.errors import UnsupportedError
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.rows.weights import uses_row_weights
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace.structure import Structure

FEW = 24  #: rows on which a program's priors are tried
REPEAT = "repeat each row as often as it counts (numpy.repeat), and leave weights out"


def refuse_weights(method: str, problem: Problem) -> None:
    """Refuse row weights that the method or the program cannot use.

    Args:
        method: name of the method.
        problem: program and data.

    Raises:
        UnsupportedError: what stands in the way, and what to do.
    """
    weights = problem.model.weights
    if weights is None:
        return
    served = declaration(method).row_weights
    if served == "none":
        others = ", ".join(methods_that(lambda m: m.row_weights != "none"))
        raise UnsupportedError(
            f"method='{method}' counts every row once, and weights are given: {REPEAT}, or use one "
            f"of the methods {others}"
        )
    if served == "integer" and (weights != np.floor(weights)).any():
        place = int((weights != np.floor(weights)).argmax())
        raise UnsupportedError(
            f"method='{method}' draws a cluster for every copy of a row, and weights[{place}] is "
            f"{weights[place]:g}: round the weights, or use method='nuts', 'svi', 'em' or 'map', "
            "for which the likelihood is raised to the power of the weight"
        )
    why = _reason(problem)
    if why:
        raise UnsupportedError(f"weights are given, and {why}: {REPEAT}")


def _reason(problem: Problem) -> str:
    """Why rows cannot be counted several times; empty where they can."""
    structure = problem.structure
    if structure.chain is not None:
        return "the rows are steps of one series, which follow one another once"
    if structure.indexed:
        return (
            f"the cells of site '{structure.indexed[0]}' belong to rows by an index (let the "
            f"program take {LINE_WEIGHTS}=None among its data, and put the site under "
            "numpyro.handlers.scale)"
        )
    if structure.locals or structure.given_locals:
        site = (*structure.locals, *structure.given_locals)[0]
        return f"site '{site}' has a value a row, which copies of a row do not share"
    if problem.row_order:
        return "the density of a row depends on its place or on the other rows"
    if (prior := unweighed_prior(problem.model, structure)) is not None:
        return (
            f"the prior of site '{prior}' is computed from the data without them (let the program "
            f"take {ROW_WEIGHTS}=None, behind the *, and weigh its means by it)"
        )
    return ""


def unweighed_prior(model: Model, structure: Structure) -> str | None:
    """A site whose prior is not that of the repeated rows where rows have weights; or None.

    The programs of this package that take the weights are known to use them.
    """
    if uses_row_weights(model.function):
        return None
    return prior_unlike_repeated(model, structure)


def prior_unlike_repeated(model: Model, structure: Structure) -> str | None:
    """:func:`unweighed_prior` of any program, by trial on a few rows of weight 1 or 2.

    Their priors are compared with those of the same rows written out repeatedly.
    """
    rows = np.arange(min(FEW, structure.rows))
    counts = 1 + rows % 2
    values = structure.initial(make_key(7))
    once = _taken(model, rows, counts.astype(float))
    written_out = _taken(model, np.repeat(rows, counts), None)
    pair = attempted(
        lambda: [
            _priors(m, values, structure=replace(structure, rows=n))
            for m, n in ((once, len(rows)), (written_out, int(counts.sum())))
        ]
    )
    if pair is None:
        return structure.names[0] if structure.names else None
    here, there = pair
    for name in here:
        same = jax.tree.map(
            lambda a, b: bool(np.allclose(a, b, rtol=1e-5)), here[name], there[name]
        )
        if not all(jax.tree.leaves(same)):
            return name
    return None


def _taken(model: Model, rows: np.ndarray, weights: np.ndarray | None) -> Model:
    part = model.with_data({n: np.asarray(v)[rows] for n, v in model.data.items()})
    return replace(part, weights=weights)


@quickly(static=("structure",))
def _priors(model: Model, values: Globals, *, structure: Structure) -> dict[str, Any]:
    """What the priors are made of, in the order of their leaves."""
    return {n: jax.tree.leaves(p) for n, p in model.pieces(values, structure).priors.items()}


def copies_drawn(method: str, problem: Problem, *, keep_assignments: bool) -> Problem:
    """The problem as a Gibbs sampler draws it: copies by multinomial counts, or written out.

    Hidden paths, missing cells that are drawn, and rows that no statistics sum up are drawn copy by
    copy; the distribution of the draws is the same.

    Args:
        method: name of the method.
        problem: program and data.
        keep_assignments: whether assignments are to be kept.

    Raises:
        UnsupportedError: assignments of rows whose copies may differ, or too many copies.
    """
    weights = problem.model.weights
    if weights is None or problem.model.padding:
        return problem
    if keep_assignments:
        raise UnsupportedError(
            "keep_assignments keeps one cluster a row, and weights are given, with which the "
            f"copies of a row may be in several: leave keep_assignments out, or {REPEAT}"
        )
    if problem.sums_rows_up and not problem.latent:
        gaps = dict(problem.chunks.missing)
        families = problem.families.items()
        if not any(f.draws_hidden or (gaps[n] and f.draws_missing) for n, f in families):
            return problem
    total = int(weights.sum())
    if total > memory.REPEATED_ROWS:
        raise UnsupportedError(
            f"method='{method}' draws what is hidden in every copy of a row of this program, and "
            f"there are {total:,}, more than {memory.REPEATED_ROWS:,}: use method='nuts', "
            "'svi' or 'em'"
        )
    rows = np.repeat(np.arange(problem.structure.rows), weights.astype(int))
    return Problem(
        _taken(problem.model, rows, None),
        replace(problem.structure, rows=total),
        problem.progress,
        checkpoint=problem.checkpoint,
        last_states=problem.last_states,
    )
