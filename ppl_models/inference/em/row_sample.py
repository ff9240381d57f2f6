"""Starts of EM compared on a sample of the rows, for programs without sufficient statistics.

A pass over the rows costs as much as there are, and most starts end at the same optimum or at a
poorer one, which a sample shows: it gives every mode to within its own standard errors. As in
``em.search`` the best of short runs go on; those that come to different optima of the sample go on
on all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jax import Array

from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.em.search import chosen_starts, final_objective, height, lanes_of
from ppl_models.inference.initial.known import sampled_rows
from ppl_models.inference.problem import Problem
from ppl_models.program.block_rows import SEED_ROWS
from ppl_models.program.model import Globals
from ppl_models.program.rows.padding import with_rows

MANY = 2  #: so many times the rows of a sample are worth one
SHORT = 25  #: iterations of a short run
OPTIMA = 2  #: most optima of the sample that go on on all rows
SAME = 1e-6  #: relative difference of objectives at the same optimum


def row_sample(problem: Problem, key: Array) -> Problem | None:
    """The problem on a sample of its rows; None where there are few, or none may be left out.

    Args:
        problem: program and data.
        key: random key.
    """
    if problem.structure.coupled or problem.blocks is not None or problem.row_order:
        return None
    chosen = sampled_rows(problem, key, SEED_ROWS)
    if chosen is None or problem.structure.rows < MANY * len(chosen):
        return None
    model, weights = problem.model, problem.model.weights
    part = model.with_data({n: np.asarray(v)[chosen] for n, v in model.data.items()})
    if weights is not None:
        part = replace(part, weights=np.asarray(weights)[chosen])
    structure = with_rows(problem.structure, len(chosen))
    return Problem(part, structure, problem.progress, known_row_order=False)


def best_on_sample(
    values: Globals,
    kinds: Sequence[str],
    run_from: Callable[[Globals, int], EMRuns],
    collapsed: Callable[[EMRuns], np.ndarray],
    iterations: int,
) -> tuple[Globals, list[str]]:
    """Optima of the best starts, best first, and the kind of each start.

    Args:
        values: of the global sites at all starts, ``(start, ...)``.
        kinds: what kind of start each is.
        run_from: EM on the sample.
        collapsed: which of some runs ended with a collapsed component.
        iterations: maximum number of iterations per run.
    """
    begun = run_from(values, min(SHORT, iterations))
    order = np.argsort(-height(begun, collapsed(begun)), kind="stable")[: lanes_of(len(kinds))]
    runs = run_from(chosen_starts(begun.values, order), iterations)
    heights = height(runs, collapsed(runs))
    if np.isneginf(heights).all():  # the sample may have too few rows of a cluster
        heights = final_objective(runs)
    chosen: list[int] = []
    for i in np.argsort(-heights, kind="stable"):
        apart = all(abs(heights[i] - heights[j]) > SAME * (1 + abs(heights[j])) for j in chosen)
        if not chosen or (apart and np.isfinite(heights[i]) and len(chosen) < OPTIMA):
            chosen.append(int(i))
    return chosen_starts(runs.values, np.array(chosen)), [kinds[order[i]] for i in chosen]
