"""EM over blocks: an iteration is a pass over the source, all starts in the same pass.

Sums over rows add up over blocks, in the order of the blocks and in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import memory
from ppl_models.data.blocks.spread import SpreadBlocks
from ppl_models.data.progress import progress_bar
from ppl_models.inference.em.block_sums import padded_chunks, sums_of_block
from ppl_models.inference.em.loop import BLOCK, EMRuns, Plan
from ppl_models.inference.em.spread import Workers
from ppl_models.inference.em.states import RunStates
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import (
    Assign,
    Expectations,
    finalize,
    soft,
)
from ppl_models.inference.statistics.running import exact, gaps_allowed, off_centre
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.trace.structure import Structure


def block_rows(problem: Problem) -> int:
    """Rows of a block."""
    assert problem.blocks is not None
    return block_rows_of(problem, problem.blocks.summary.rows)


def block_rows_of(problem: Problem, rows: int) -> int:
    """Rows of a block of so many rows."""
    gaps = dict(problem.chunks.missing)
    cells = sum(
        family.numbers_per_row(np.asarray(problem.model.data[n]), missing=gaps[n])
        for n, family in problem.families.items()
    )
    most = memory.PREPARED_BLOCK_BYTES // (jnp.result_type(float).itemsize * cells)
    return int(max(1, min(most, rows)))


def chunks_of_blocks(problem: Problem, rows: int | None = None) -> Iterator[Chunks]:
    """A pass over all rows: chunks of one shape, whose sums add up.

    Args:
        problem: whose rows are in blocks.
        rows: of a block (default: some megabytes).
    """
    assert problem.blocks is not None
    size = rows or block_rows(problem)
    for array, count in problem.blocks.of_size(size):
        yield padded_chunks(array[:count], size, problem.families, problem.chunks)


def run_em_over_blocks(
    problem: Problem,
    start: Globals,
    *,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    iterations: int,
    tolerance: float,
    flat: bool = False,
    assign: Assign = soft,
    label: str = "em",
) -> EMRuns:
    """As ``em.loop.run_em``, on the rows of ``problem.blocks``.

    Args:
        problem: program, a sample of its data, and all rows in blocks.
        start: global sites ``(start, ...)``.
        links: sites with a closed form.
        free: sites without.
        iterations: maximum number of iterations.
        tolerance: relative gain of the objective below which iterations stop.
        flat: leave the priors out.
        assign: soft or hard assignment.
        label: of the progress bar.
    """
    tolerance = max(tolerance, 4 * float(jnp.finfo(jnp.result_type(float)).eps))
    count = len(next(iter(start.values())))
    record = sum(np.size(v) for v in start.values()) * BLOCK <= memory.KEPT_PATH
    plan = Plan(problem.structure, links, free, flat, assign, False, record)
    model = jax.tree.map(jnp.asarray, problem.model)
    blank = replace(problem.chunks, parts=(), order=jnp.zeros(0, jnp.int32), mesh=None)
    values = {n: np.array(v) for n, v in start.items()}
    last = np.full(count, -np.inf)
    done = np.zeros(count, bool)
    objectives: list[np.ndarray] = []
    paths: list[dict[str, np.ndarray]] = []
    assert problem.blocks is not None
    workers = None
    if isinstance(problem.blocks.blocks, SpreadBlocks):
        workers = Workers(problem, plan.assign, block_rows(problem))
    states = None if problem.checkpoint is None else RunStates(problem.checkpoint)
    if states is not None and (resumed := states.begun(values)) is not None:
        values, last, done, objectives, paths = resumed
    begun = len(objectives)
    with progress_bar(iterations, f"{label}, {count} starts", problem.progress) as bar:
        bar.update(begun)
        for index in range(begun, iterations):
            if done.all():
                break
            going = np.flatnonzero(~done)
            at = [{n: v[i] for n, v in values.items()} for i in going]
            moved, reached = _iterated(model, problem, plan, blank, at, workers)
            recorded = np.full(count, np.nan)
            recorded[going] = reached
            if record:
                paths.append({n: v.copy() for n, v in values.items()})
            gain = np.abs(reached - last[going])
            stops = (gain <= tolerance * (1 + np.abs(reached))) | ~np.isfinite(reached)
            for i, stop, new in zip(going, stops, moved, strict=True):
                if not stop:
                    for n, v in new.items():
                        values[n][i] = v
            last[going] = reached
            done[going[stops]] = True
            objectives.append(recorded)
            bar.update(1)
            if states is not None:
                ended = index + 1 == iterations or bool(done.all())
                states.keep(values, last, done, objectives, paths, ended=ended)
    objective = np.stack(objectives, 1)
    return EMRuns(
        values,
        objective,
        np.isfinite(objective).sum(1),
        done & np.isfinite(last),
        {n: np.stack([p[n] for p in paths], 1) for n in values} if record else {},
    )


def _iterated(
    model: Model,
    problem: Problem,
    plan: Plan,
    blank: Chunks,
    starts: Sequence[Globals],
    workers: Workers | None,
) -> tuple[list[Globals], np.ndarray]:
    """The global sites of every start after an iteration, and the objectives before it.

    Starts are updated one by one, so that nothing is recompiled when some of them converge.
    """
    known = problem.known_priors
    if workers is not None:
        totals = workers.sums(starts)
    else:
        totals = _totals(model, problem, plan, starts)
    moved, objective = [], []
    for values, total in zip(starts, totals, strict=True):
        own = jax.tree.map(lambda v: jnp.asarray(v, jnp.result_type(float)), total)
        next_values, log_prior = _moved(model, values, own, blank, known, plan=plan)
        moved.append(jax.tree.map(np.asarray, next_values))
        objective.append(float(total.log_normaliser) + float(log_prior))
    return moved, np.array(objective)


class BlockStatistics:
    """Expected statistics of all rows, by passes over their blocks; in double precision.

    Args:
        problem: whose rows are in blocks.
        assign: soft or hard assignment.
    """

    def __init__(self, problem: Problem, assign: Assign):
        assert problem.blocks is not None
        self._problem = problem
        self._model = jax.tree.map(jnp.asarray, problem.model)
        self._plan = Plan(problem.structure, (), (), True, assign, False, False)
        self._blank = replace(problem.chunks, parts=(), order=jnp.zeros(0, jnp.int32), mesh=None)
        self._workers = None
        if isinstance(problem.blocks.blocks, SpreadBlocks):
            self._workers = Workers(problem, assign, block_rows(problem))

    def __call__(self, starts: Sequence[Globals]) -> list[Expectations]:
        """Statistics at the global sites of every start, all in one pass.

        Raises:
            UnsupportedError: statistics that do not add up; see ``running.off_centre``.
        """
        centres = self._problem.chunks.centres
        return [exact(statistics, centres) for statistics in self.by_passes(starts)]

    def by_passes(self, starts: Sequence[Globals]) -> list[Expectations]:
        """The same in the precision of the passes, and about the points that these chose."""
        if self._workers is not None:
            totals = self._workers.sums(starts)
        else:
            totals = _totals(self._model, self._problem, self._plan, starts)
        return [self._of_totals(v, t) for v, t in zip(starts, totals, strict=True)]

    def _of_totals(self, values: Globals, total: Any) -> Expectations:
        own = jax.tree.map(lambda v: jnp.asarray(v, jnp.result_type(float)), total)
        statistics = _finalized(
            self._model,
            values,
            own,
            self._blank,
            self._problem.known_priors,
            structure=self._plan.structure,
        )
        # (by the passes and not by what is finalized, whose precision is that of the passes)
        return statistics._replace(log_normaliser=total.log_normaliser)


def statistics_of_blocks(problem: Problem, values: Globals, assign: Assign) -> Expectations | None:
    """Expected statistics of all rows at given global sites, by a pass; in double precision.

    None where they add up with no others: see ``running.off_centre``.

    Args:
        problem: whose rows are in blocks.
        values: global sites.
        assign: soft or hard assignment.
    """
    problem = replace(problem, prepared=gaps_allowed(problem.families, problem.chunks))
    (statistics,) = BlockStatistics(problem, assign).by_passes([values])
    centres = problem.chunks.centres
    return exact(statistics, centres) if off_centre(statistics, centres) is None else None


@partial(jax.jit, static_argnames=("structure",))
def _finalized(
    model: Model,
    values: Globals,
    total: Expectations,
    blank: Chunks,
    known: dict[str, Any],
    *,
    structure: Structure,
) -> Expectations:
    """Sums over all rows as statistics."""
    families = model.pieces(values, structure, known).families()
    return finalize(total, families, dict(blank.missing), blank)


def _totals(model: Model, problem: Problem, plan: Plan, starts: Sequence[Globals]) -> list[Any]:
    """Sums over all rows for every start, in double precision."""
    totals: list[Any] = [None for _ in starts]
    for chunks in chunks_of_blocks(problem):
        added = [
            sums_of_block(
                model,
                v,
                chunks,
                problem.known_priors,
                structure=plan.structure,
                assign=plan.assign,
            )
            for v in starts
        ]
        for i, each in enumerate(added):
            exact = jax.tree.map(lambda v: np.asarray(v, np.float64), each)
            totals[i] = exact if totals[i] is None else jax.tree.map(np.add, totals[i], exact)
    return totals


@partial(jax.jit, static_argnames=("plan",))
def _moved(
    model: Model,
    values: Globals,
    total: Expectations,
    blank: Chunks,
    known: dict[str, Any],
    *,
    plan: Plan,
) -> tuple[Globals, Array]:
    """The M-step, and the log prior before it."""
    pieces = model.pieces(values, plan.structure, known)
    expected = finalize(total, pieces.families(), dict(blank.missing), blank)
    moved = plan.m_step(model, values, expected, blank, known)
    return moved, jnp.zeros(()) if plan.flat else pieces.log_prior
