"""Stochastic EM: an M-step after every mini-batch of rows.

The first pass is that of Cappé and Moulines (2009): the expected statistics of a mini-batch enter a
running average with a weight that falls as t^-0.6, so that what was expected at poor parameters is
forgotten. From the second pass on the statistics of every mini-batch are kept, and a batch's new
ones take the place of its own old ones. That is the incremental EM of Neal and Hinton (1998), A
view of the EM algorithm that justifies incremental, sparse, and other variants: each step raises
the free energy of all rows, and its fixed points are those of batch EM.
"""

from __future__ import annotations

import numpy as np

from ppl_models import memory
from ppl_models.data.progress import progress_bar
from ppl_models.inference.em.loop import BLOCK, EMRuns, Plan
from ppl_models.inference.em.mini_batches import MiniBatches
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import Assign, Expectations, soft
from ppl_models.inference.statistics.running import averaged, scaled_by, step_size, summed
from ppl_models.program.model import Globals
from ppl_models.program.parameter_map import ParameterLink


class _Run:
    """One start: its global sites, and its statistics of every batch."""

    def __init__(self, values: dict[str, np.ndarray], exponent: float):
        self.values = values
        self.average: Expectations | None = None  #: of one row, in the first pass
        self.total: Expectations | None = None  #: of all rows, thereafter
        self.kept: list[Expectations] = []
        self.exponent = exponent

    def begin_pass(self) -> None:
        """Add up what is kept: sums and differences of a whole pass have rounding errors."""
        self.total = None
        for each in self.kept:
            self.total = summed(self.total, each)

    def first_step(
        self, batches: MiniBatches, place: int, new: Expectations, size: float, step: int
    ) -> None:
        """Take a batch into the running average, and maximise."""
        row = scaled_by(new, 1 / max(size, 1e-300))
        if self.average is None:
            self.average = row
        elif size > 0:
            self.average = averaged(self.average, row, step_size(step, self.exponent))
        if place == len(self.kept):
            self.kept.append(new)
        else:
            self.kept[place] = summed(self.kept[place], new)
        self.values = batches.maximised(self.values, scaled_by(self.average, batches.counted))

    def step(self, batches: MiniBatches, place: int, new: Expectations) -> float:
        """Put a batch's statistics in the place of its old ones, and maximise: its normaliser."""
        assert self.total is not None
        self.total = summed(summed(self.total, self.kept[place], -1.0), new)
        self.kept[place] = new
        self.values = batches.maximised(self.values, self.total)
        return float(new.log_normaliser)


def run_stochastic_em(
    problem: Problem,
    start: Globals,
    *,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    iterations: int,
    tolerance: float,
    flat: bool = False,
    assign: Assign = soft,
    label: str = "stochastic_em",
    rows: int | None = None,
    exponent: float = 0.6,
    seed: int = 0,
) -> EMRuns:
    """As ``em.loop.run_em``; an iteration is a pass over all rows.

    The objective of a pass is that of every batch as it was met; the last one is exact, by a pass
    without steps.

    Args:
        problem: program and data.
        start: global sites ``(start, ...)``.
        links: sites with a closed form.
        free: sites without.
        iterations: most passes with steps.
        tolerance: least relative gain of the objective that a pass is worth.
        flat: leave the priors out.
        assign: soft or hard assignment.
        label: of the progress bar.
        rows: of a mini-batch.
        exponent: of the steps of the first pass.
        seed: of the order of rows in memory.
    """
    count = len(next(iter(start.values())))
    plan = Plan(problem.structure, links, free, flat, assign, False, False)
    record = sum(np.size(v) for v in start.values()) * BLOCK <= memory.KEPT_PATH
    batches = MiniBatches(problem, plan, rows, seed, count)
    runs = [_Run({n: np.array(v[i]) for n, v in start.items()}, exponent) for i in range(count)]
    last, done = np.full(count, -np.inf), np.zeros(count, bool)
    objectives: list[np.ndarray] = []
    paths: list[dict[str, np.ndarray]] = []
    with progress_bar(iterations, f"{label}, {count} starts", problem.progress) as bar:
        for index in range(iterations):
            going = np.flatnonzero(~done)
            if not len(going):
                break
            recorded = np.full(count, np.nan)
            recorded[going] = _passed(batches, [runs[i] for i in going], first=index == 0)
            objectives.append(recorded)
            if record:
                paths.append(_stacked(runs))
            gain = np.abs(recorded - last)
            stops = (gain <= tolerance * (1 + np.abs(recorded))) & (index > 0)
            last = np.where(done, last, recorded)
            done |= stops | (~np.isfinite(recorded) & ~done)
            bar.update(1)
    objectives.append(_objectives(batches, runs))
    if record:
        paths.append(_stacked(runs))
    objective = np.stack(objectives, 1)
    packed = _packed(objective)
    return EMRuns(
        _stacked(runs),
        packed,
        np.isfinite(packed).sum(1),
        done & np.isfinite(last),
        {n: np.stack([p[n] for p in paths], 1) for n in start} if record else {},
    )


def _passed(batches: MiniBatches, runs: list[_Run], *, first: bool) -> np.ndarray:
    """A pass with steps; the objective of every run, each batch as it was met."""
    objective = np.zeros(len(runs))
    if not first:
        for run in runs:
            run.begin_pass()
    pending: list[Expectations | None] = [None for _ in runs]
    step, place_before = 0, -1

    def flush() -> None:
        """The step of batches that share their statistics."""
        for i, run in enumerate(runs):
            held = pending[i]
            if held is not None:
                objective[i] += run.step(batches, place_before, held)
                pending[i] = None

    for place, (chunks, size) in batches:
        if not first and place != place_before:
            flush()
        for i, run in enumerate(runs):
            new = batches.expected(run.values, chunks)
            if first:
                if step == 0:
                    batches.keep_within(new)
                objective[i] += float(new.log_normaliser)
                run.first_step(batches, place, new, size, step)
            else:
                pending[i] = summed(pending[i], new)
        step, place_before = step + 1, place
    if first:
        for run in runs:  # from the average of the pass to the sum of what is kept
            run.begin_pass()
            assert run.total is not None
            run.values = batches.maximised(run.values, run.total)
    else:
        flush()
    return objective + np.array([batches.log_prior(run.values) for run in runs])


def _objectives(batches: MiniBatches, runs: list[_Run]) -> np.ndarray:
    """The exact objective of every run, by a pass without steps."""
    objective = np.zeros(len(runs))
    for _, (chunks, _) in batches:
        for i, run in enumerate(runs):
            objective[i] += float(batches.expected(run.values, chunks).log_normaliser)
    return objective + np.array([batches.log_prior(run.values) for run in runs])


def _stacked(runs: list[_Run]) -> dict[str, np.ndarray]:
    return {n: np.stack([run.values[n] for run in runs]) for n in runs[0].values}


def _packed(objective: np.ndarray) -> np.ndarray:
    """Objectives ``(start, pass)`` with those that are no numbers at the end."""
    found = np.full_like(objective, np.nan)
    for i, row in enumerate(objective):
        known = row[np.isfinite(row)]
        found[i, : len(known)] = known
    return found
