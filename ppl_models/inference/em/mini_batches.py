"""Mini-batches of rows for stochastic EM: in random order from memory, else in the source's order.

All have one shape, so that a pass is compiled once, and the statistics of each are kept; where
those would take too much memory, neighbouring batches share theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import memory
from ppl_models.inference.em.blocks import block_rows, chunks_of_blocks
from ppl_models.inference.em.loop import Plan, run_em
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, cut
from ppl_models.inference.statistics.e_step import Expectations, e_step
from ppl_models.inference.statistics.running import exact
from ppl_models.program.model import KNOWN_CLUSTER, Globals, Model

BATCHES = 16  #: of rows in memory, where nobody says how many rows a batch has
FEWEST_ROWS = 256  #: of such a batch
#: of EM on a sample: most iterations, and the least relative gain that one is worth
MOST_OF_SAMPLE, OF_SAMPLE = 300, 1e-7

Batch = tuple[Chunks, float]  #: rows as passes need them, and how many they count for


class MiniBatches:
    """Mini-batches of a problem's rows, and the steps of EM on them.

    Args:
        problem: program and data.
        plan: of an iteration.
        rows: of a mini-batch; None: of blocks some megabytes, in memory a sixteenth of all.
        seed: of the order of rows in memory.
        starts: how many starts keep their statistics of every batch.
    """

    def __init__(self, problem: Problem, plan: Plan, rows: int | None, seed: int, starts: int):
        self.problem, self.plan = problem, plan
        total = problem.structure.rows
        if problem.blocks is not None:
            total, usual = problem.blocks.summary.rows, block_rows(problem)
        else:
            usual = max(FEWEST_ROWS, math.ceil(total / BATCHES))
        self.rows = min(rows or usual, total)
        self._seed, self._starts = seed, starts
        self._batches = math.ceil(total / self.rows)
        self._model = jax.tree.map(jnp.asarray, problem.model)
        self._blank = replace(problem.chunks, parts=(), order=jnp.zeros(0, jnp.int32), mesh=None)
        self.shared = 1  #: neighbouring batches that share their statistics

    def keep_within(self, statistics: Expectations) -> None:
        """Let batches share their statistics where those of all would take too much memory.

        Args:
            statistics: of one batch and one start.
        """
        size = sum(np.asarray(v).nbytes for v in jax.tree.leaves(statistics))
        most = max(1, memory.KEPT_STATISTICS_BYTES // max(size * self._starts, 1))
        self.shared = math.ceil(self._batches / most)

    def begun(self, start: Globals, tolerance: float) -> dict[str, np.ndarray]:
        """Global sites before the first pass, ``(start, ...)``: optima on a sample for blocks.

        Args:
            start: global sites ``(start, ...)``.
            tolerance: of the objective.
        """
        if self.problem.blocks is None:
            return {n: np.asarray(v) for n, v in start.items()}
        sample = replace(self.problem, blocks=None, checkpoint=None)
        return self._climbed(sample, start, max(tolerance, OF_SAMPLE))

    def _climbed(self, sample: Problem, start: Globals, tolerance: float) -> dict[str, np.ndarray]:
        """Optimum of EM on a sample of the rows, from every start."""
        plan = self.plan
        return run_em(
            sample,
            start,
            links=plan.links,
            free=plan.free,
            iterations=MOST_OF_SAMPLE,
            tolerance=tolerance,
            flat=plan.flat,
            assign=plan.assign,
            label="a sample of the rows",
        ).values

    def of_sample(self, values: Mapping[str, Any]) -> tuple[Expectations, float] | None:
        """The statistics of the sample that a problem in blocks holds, and its number of rows."""
        if self.problem.blocks is None:
            return None
        return self.expected(values, self.problem.chunks), float(self.problem.structure.rows)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """One pass: every batch with the index of the statistics that it contributes to."""
        for index, batch in enumerate(self._pass()):
            yield index // self.shared, batch

    @property
    def counted(self) -> float:
        """Sum of the weights of all rows."""
        if self.problem.blocks is not None:
            return float(self.problem.blocks.summary.rows)
        weights = self.problem.model.weights
        return float(self.problem.structure.rows if weights is None else np.sum(weights))

    def _pass(self) -> Iterator[Batch]:
        if self.problem.blocks is None:
            yield from self._in_memory
            return
        for chunks in chunks_of_blocks(self.problem, self.rows):
            (part,) = chunks.parts
            yield chunks, float(np.asarray(part.present).sum())

    @cached_property
    def _in_memory(self) -> list[Batch]:
        problem, made = self.problem, []
        data = {n: np.asarray(problem.model.data[n]) for n in problem.families}
        total = problem.structure.rows
        by_row: dict[str, np.ndarray] = dict(problem.scales)
        if KNOWN_CLUSTER in problem.model.data:
            by_row[KNOWN_CLUSTER] = np.asarray(problem.model.data[KNOWN_CLUSTER], float)
        row_weights = problem.model.weights
        weights = None if row_weights is None else np.asarray(row_weights)
        order = np.random.default_rng(self._seed).permutation(total)
        for first in range(0, total, self.rows):
            mine = order[first : first + self.rows]
            present = np.arange(self.rows) < len(mine)
            rows = np.concatenate([mine, np.repeat(mine[:1], self.rows - len(mine))])
            chunks = cut(
                {n: v[rows] for n, v in data.items()},
                problem.families,
                parts=1,
                scales={n: v[rows] for n, v in by_row.items()},
                weights=None if weights is None else weights[rows] * present,
                present=present,
                like=problem.chunks,
            )
            made.append((chunks, float(len(mine) if weights is None else weights[mine].sum())))
        return made

    def expected(self, values: Mapping[str, Any], chunks: Chunks) -> Expectations:
        """The E-step on one batch, in double precision on the host."""
        expectations = expected_of_rows(
            self._model, values, chunks, self.problem.known_priors, plan=self.plan
        )
        return exact(expectations, self.problem.chunks.centres)

    def maximised(self, values: Mapping[str, Any], expected: Expectations) -> dict[str, np.ndarray]:
        """The M-step by statistics of all rows."""
        number = jnp.result_type(float)
        own = jax.tree.map(lambda v: np.asarray(v, number), expected)
        moved = maximised_by(
            self._model, values, own, self._blank, self.problem.known_priors, plan=self.plan
        )
        return {n: np.asarray(v) for n, v in moved.items()}

    def log_prior(self, values: Mapping[str, Any]) -> float:
        """The log prior density; 0 where priors are left out."""
        if self.plan.flat:
            return 0.0
        return float(log_prior_at(self._model, values, self.problem.known_priors, plan=self.plan))


@partial(jax.jit, static_argnames=("plan",))
def expected_of_rows(
    model: Model, values: Globals, chunks: Chunks, known: dict[str, Any], *, plan: Plan
) -> Expectations:
    """Expected statistics of some rows."""
    pieces = model.pieces(values, plan.structure, known)
    return e_step(pieces, plan.structure, chunks, plan.assign)


@partial(jax.jit, static_argnames=("plan",))
def maximised_by(
    model: Model,
    values: Globals,
    expected: Expectations,
    blank: Chunks,
    known: dict[str, Any],
    *,
    plan: Plan,
) -> Globals:
    """The M-step by statistics of all rows."""
    return plan.m_step(model, values, expected, blank, known)


@partial(jax.jit, static_argnames=("plan",))
def log_prior_at(model: Model, values: Globals, known: dict[str, Any], *, plan: Plan) -> Array:
    """The log prior density of the global sites."""
    return model.pieces(values, plan.structure, known).log_prior
