"""Stochastic EM: an M-step after every mini-batch of rows.

The first pass is that of Cappé and Moulines (2009): the expected statistics of a mini-batch enter a
running average with a weight that falls as t^-0.6, so that what was expected at poor parameters is
forgotten. Of rows in blocks it begins where batch EM leads on a sample of the rows, with the
sample's statistics: mini-batches then refine what takes many steps to find. From the second pass on
the statistics of every mini-batch are kept, and a batch's new ones take the place of its own old
ones. That is the incremental EM of Neal and Hinton (1998), A view of the EM algorithm that
justifies incremental, sparse, and other variants: each step raises the free energy of all rows, and
its fixed points are those of batch EM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from ppl_models import memory
from ppl_models.data.progress import progress_bar
from ppl_models.inference.em.loop import BLOCK, EMRuns, Plan
from ppl_models.inference.em.mini_batches import MiniBatches
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import Assign, Expectations, soft
from ppl_models.inference.statistics.running import (
    EXPONENT,
    averaged,
    of_arrays,
    scaled_by,
    step_size,
    summed,
    to_arrays,
)
from ppl_models.program.model import Globals
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.runtime.checkpoint import Checkpoint


class _Run:
    """One start: its global sites, and its statistics of every batch."""

    def __init__(self, values: dict[str, np.ndarray], exponent: float):
        self.values = values
        self.average: Expectations | None = None  #: of one row, in the first pass
        self.total: Expectations | None = None  #: of all rows, thereafter
        self.pending: Expectations | None = None  #: of batches that share their statistics, so far
        self.forgetful: dict[str, np.ndarray] = {}  #: sites by the average, after a first pass
        self.by_batch: list[Expectations] = []
        self.exponent = exponent
        self.before = 0  #: batches that the average holds from the beginning

    def begin(self, values: dict[str, np.ndarray], batches: MiniBatches) -> None:
        """Start at sites that a sample of the rows has led to: with its statistics, if it has."""
        self.values = values
        if (sample := batches.of_sample(values)) is not None:
            expected, size = sample
            self.average = scaled_by(expected, 1 / size)
            self.before = max(1, round(size / batches.rows))

    def begin_pass(self) -> None:
        """Sum the batches' statistics anew: sums and differences leave rounding errors."""
        self.total = None
        for each in self.by_batch:
            self.total = summed(self.total, each)

    def first_step(
        self, batches: MiniBatches, place: int, new: Expectations, size: float, step: int
    ) -> None:
        """Update the running average by a batch, and maximise."""
        row = scaled_by(new, 1 / max(size, 1e-300))
        if self.average is None:
            self.average = row
        elif size > 0:
            weight = step_size(self.before + step, self.exponent)
            self.average = averaged(self.average, row, weight)
        if place == len(self.by_batch):
            self.by_batch.append(new)
        else:
            self.by_batch[place] = summed(self.by_batch[place], new)
        self.values = batches.maximised(self.values, scaled_by(self.average, batches.counted))

    def step(self, batches: MiniBatches, place: int) -> float:
        """Put what is pending in the place of the old statistics, and maximise: its normaliser."""
        if self.pending is None:
            return 0.0
        assert self.total is not None
        self.total = summed(summed(self.total, self.by_batch[place], -1.0), self.pending)
        self.by_batch[place], normaliser = self.pending, float(self.pending.log_normaliser)
        self.pending = None
        self.values = batches.maximised(self.values, self.total)
        return normaliser

    def state(self) -> dict[str, np.ndarray]:
        """The state as arrays by name."""
        arrays = {f"values.{n}": np.asarray(v) for n, v in self.values.items()}
        arrays["before"] = np.array(self.before)
        arrays |= {f"forgetful.{n}": np.asarray(v) for n, v in self.forgetful.items()}
        parts = (("average", self.average), ("total", self.total), ("pending", self.pending))
        for name, part in parts:
            if part is not None:
                arrays |= to_arrays(name, part)
        if self.by_batch:
            arrays |= to_arrays("by_batch", jax.tree.map(lambda *v: np.stack(v), *self.by_batch))
        return arrays

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Inverse of :meth:`state`."""
        self.values, self.forgetful = (
            {n[len(start) :]: v for n, v in state.items() if n.startswith(start)}
            for start in ("values.", "forgetful.")
        )
        self.before = int(state["before"])
        self.average, self.total, self.pending, by_batch = (
            of_arrays(name, state) for name in ("average", "total", "pending", "by_batch")
        )
        count = 0 if by_batch is None else len(by_batch.counts)
        self.by_batch = [jax.tree.map(lambda v, i=i: v[i], by_batch) for i in range(count)]


@dataclass
class _Course:
    """Progress of all starts.

    Args:
        last: objective of every start.
        done: which starts have come to their end.
        objectives: by pass.
        paths: by pass, where they are recorded.
        batch: batches of the pass that were taken.
        objective: of the pass so far, of the starts that go on.
    """

    last: np.ndarray
    done: np.ndarray
    objectives: list[np.ndarray]
    paths: list[dict[str, np.ndarray]]
    batch: int
    objective: np.ndarray


class _States:
    """What is kept of a run on disk."""

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint, self._run = checkpoint, checkpoint.next_run()

    def begun(self, runs: list[_Run], course: _Course, batches: MiniBatches) -> bool:
        """Restore the state of an interrupted run; whether there was one."""
        saved = self._checkpoint.read(self._run)
        if saved is None:
            return False
        for i, run in enumerate(runs):
            start = f"start{i}."
            run.restore({n[len(start) :]: v for n, v in saved.items() if n.startswith(start)})
        count = int(saved["passes"])
        names = [n for n in saved if n.startswith("path.")]
        course.last, course.done = saved["last"], saved["done"]
        course.objectives = [saved["objectives"][i] for i in range(count)]
        course.paths = [{n[5:]: saved[n][i] for n in names} for i in range(count if names else 0)]
        course.batch, course.objective = int(saved["batch"]), saved["objective"]
        batches.shared = int(saved["shared"])
        return True

    def keep(
        self, runs: list[_Run], course: _Course, batches: MiniBatches, *, ended: bool = False
    ) -> None:
        """Write a state if the last one was long ago or the run has ended."""
        if not self._checkpoint.due(ended=ended):
            return
        state = {"passes": np.array(len(course.objectives)), "shared": np.array(batches.shared)}
        state |= {"last": course.last, "done": course.done, "batch": np.array(course.batch)}
        state["objective"] = course.objective
        if course.objectives:
            state["objectives"] = np.stack(course.objectives)
        if course.paths:
            state |= {f"path.{n}": np.stack([p[n] for p in course.paths]) for n in course.paths[0]}
        for i, run in enumerate(runs):
            state |= {f"start{i}.{n}": v for n, v in run.state().items()}
        self._checkpoint.write(self._run, state)


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
    exponent: float = EXPONENT,
    seed: int = 0,
    steps_of: type[MiniBatches] = MiniBatches,
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
        tolerance: relative gain of the objective below which passes stop.
        flat: leave the priors out.
        assign: soft or hard assignment.
        label: of the progress bar.
        rows: of a mini-batch.
        exponent: of the steps of the first pass.
        seed: of the order of rows in memory.
        steps_of: E-step and M-step of mini-batches.
    """
    count = len(next(iter(start.values())))
    plan = Plan(problem.structure, links, free, flat, assign, False, False)
    record = sum(np.size(v) for v in start.values()) * BLOCK <= memory.KEPT_PATH
    batches = steps_of(problem, plan, rows, seed, count)
    runs = [_Run({}, exponent) for _ in range(count)]
    course = _Course(np.full(count, -np.inf), np.zeros(count, bool), [], [], 0, np.zeros(count))
    states = None if problem.checkpoint is None else _States(problem.checkpoint)
    if states is None or not states.begun(runs, course, batches):
        warm = batches.begun(start, tolerance)
        for i, run in enumerate(runs):
            run.begin({n: np.array(v[i]) for n, v in warm.items()}, batches)
    begun = len(course.objectives)
    with progress_bar(iterations, f"{label}, {count} starts", problem.progress) as bar:
        bar.update(min(begun, iterations))
        for index in range(begun, iterations):
            going = np.flatnonzero(~course.done)
            if not len(going):
                break
            keep = None if states is None else partial(states.keep, runs, course, batches)
            _pass(batches, [runs[i] for i in going], going, course, keep, first=index == 0)
            recorded = np.full(count, np.nan)
            recorded[going] = course.objective[going]
            course.objectives.append(recorded)
            if record:
                course.paths.append(_stacked(runs))
            gain = np.abs(recorded - course.last)
            stops = (gain <= tolerance * (1 + np.abs(recorded))) & (index > 0)
            course.last = np.where(course.done, course.last, recorded)
            course.done = course.done | stops | (~np.isfinite(recorded) & ~course.done)
            course.batch, course.objective = 0, np.zeros(count)
            bar.update(1)
            if states is not None:
                ended = index + 1 == iterations or bool(course.done.all())
                states.keep(runs, course, batches, ended=ended)
    if iterations == 1:
        course.objectives.append(_better_of_both(batches, runs))
    else:
        course.objectives.append(_objectives(batches, [run.values for run in runs]))
    if record:
        course.paths.append(_stacked(runs))
    objective = np.stack(course.objectives, 1)
    packed = _packed(objective)
    return EMRuns(
        _stacked(runs),
        packed,
        np.isfinite(packed).sum(1),
        course.done & np.isfinite(course.last),
        {n: np.stack([p[n] for p in course.paths], 1) for n in start} if record else {},
    )


def _pass(
    batches: MiniBatches,
    runs: list[_Run],
    places: np.ndarray,
    course: _Course,
    keep: Callable[[], None] | None,
    *,
    first: bool,
) -> None:
    """A pass with steps; the objective of every run, each batch as it was met.

    Args:
        batches: the rows.
        runs: starts that go on.
        places: theirs among all starts.
        course: how far they are, which is moved on.
        keep: writes a state, where one is due.
        first: whether it is the first pass.
    """
    if not first and course.batch == 0:
        for run in runs:
            run.begin_pass()
    place_before = -1
    for step, (place, (chunks, size)) in enumerate(batches):
        if step < course.batch:  # taken before a run was ended
            place_before = place
            continue
        if not first and place != place_before:
            for i, run in zip(places, runs, strict=True):
                course.objective[i] += run.step(batches, place_before)
        for i, run in zip(places, runs, strict=True):
            new = batches.expected(run.values, chunks)
            if first:
                if step == 0:
                    batches.keep_within(new)
                course.objective[i] += float(new.log_normaliser)
                run.first_step(batches, place, new, size, step)
            else:
                run.pending = summed(run.pending, new)
        course.batch, place_before = step + 1, place
        if keep is not None:
            keep()
    for i, run in zip(places, runs, strict=True):
        if first:  # from the average of the pass to the sum of what is kept
            run.forgetful = run.values
            run.begin_pass()
            assert run.total is not None
            run.values = batches.maximised(run.values, run.total)
        else:
            course.objective[i] += run.step(batches, place_before)
        course.objective[i] += batches.log_prior(run.values)


def _objectives(batches: MiniBatches, points: list[dict[str, np.ndarray]]) -> np.ndarray:
    """The exact objective at every point, by a pass without steps."""
    objective = np.zeros(len(points))
    for _, (chunks, _) in batches:
        for i, values in enumerate(points):
            objective[i] += float(batches.expected(values, chunks).log_normaliser)
    return objective + np.array([batches.log_prior(values) for values in points])


def _better_of_both(batches: MiniBatches, runs: list[_Run]) -> np.ndarray:
    """Leave every run at the better of two points after an only pass: the exact objective there.

    By the running average, where statistics at poor parameters are forgotten, and rows of the
    beginning too; and by the sum of all statistics, which is better where rows are sorted.
    """
    points = [run.values for run in runs] + [run.forgetful or run.values for run in runs]
    both = _objectives(batches, points).reshape(2, -1)
    best = np.where(np.isfinite(both), both, -np.inf).argmax(0)
    for i, run in enumerate(runs):
        run.values = points[best[i] * len(runs) + i]
    return both[best, np.arange(len(runs))]


def _stacked(runs: list[_Run]) -> dict[str, np.ndarray]:
    return {n: np.stack([run.values[n] for run in runs]) for n in runs[0].values}


def _packed(objective: np.ndarray) -> np.ndarray:
    """Objectives ``(start, pass)`` with those that are no numbers at the end."""
    packed = np.full_like(objective, np.nan)
    for i, row in enumerate(objective):
        known = row[np.isfinite(row)]
        packed[i, : len(known)] = known
    return packed
