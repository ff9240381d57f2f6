"""Stochastic gradients: any program's log joint density, or its evidence bound, by mini-batches.

A batch of B of N rows stands for all: log p(θ) + N / B Σ_batch log p(x_n | θ), assignments summed
out. Steps are Adam's on the objective divided by N, the gradient's norm bounded, the rate rising
for a moment and then falling to zero on a cosine, so that the noise of the batches dies away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.catalogue import program_name
from ppl_models.data.progress import progress_bar
from ppl_models.errors import InputError
from ppl_models.inference.gradient.batches import make_batches
from ppl_models.inference.gradient.checkpoints import fingerprint, load, save
from ppl_models.inference.gradient.guides import Guide, Params
from ppl_models.inference.gradient.objective import State, Training, advance, optimiser, row_total
from ppl_models.inference.problem import Problem
from ppl_models.program.json_text import to_json
from ppl_models.program.model import Globals, evaluate

ROUNDS = 20  #: looks at the rows kept aside, and checkpoints, a fit
STEADY = 1e-4  #: relative gain of the last round over the three before that counts as none


@dataclass
class Trained:
    """The end of one training.

    Args:
        params: of the guide.
        objective: ``(round,)``, mean of the batches' estimates, the log joint or evidence bound.
        kept_aside: ``(round,)``, log-density a row kept aside; NaN where there is none.
        steps: steps taken.
        converged: whether it stopped by the rows kept aside, or no longer moved.
    """

    params: Params
    objective: np.ndarray
    kept_aside: np.ndarray
    steps: int
    converged: bool


def train(
    problem: Problem,
    guide: Guide,
    start: Globals,
    key: Array,
    plan: Training,
    *,
    checkpoint: str | Path | None = None,
    label: str = "map",
) -> Trained:
    """Train a guide from a start.

    Args:
        problem: program and data.
        guide: of its global sites.
        start: values of the global sites.
        key: random key.
        plan: how.
        checkpoint: file to go on from, and to write every round.
        label: of the progress bar.

    Raises:
        InputError: fewer than two rows where some are kept aside; a checkpoint of another run.
    """
    order_key, guide_key, step_key = random.split(key, 3)
    kept, aside = _split(problem, plan, order_key)
    seed = int(random.randint(order_key, (), 0, 2**31 - 1))
    batches = make_batches(problem, kept, plan.batch, seed)
    judge = make_batches(problem, aside, 4 * plan.batch, seed) if len(aside) else None
    params = guide.initial(guide_key, start)
    state = State(params, optimiser(plan).init(params), jnp.zeros((), jnp.int32))
    course = _Course(plan, state)
    about = _about(problem, guide, plan, key) if checkpoint else {}
    if checkpoint:
        course.resume(load(checkpoint, about))
    model = jax.tree.map(jnp.asarray, problem.model)
    shared = (model, problem.known_priors, step_key)
    data = tuple(bucket.data for bucket in batches.buckets)
    with progress_bar(plan.steps, label, problem.progress) as bar:
        bar.update(int(course.state.step))
        while course.going:
            begin, end = course.next_round
            total, state = 0.0, course.state
            for run in batches.runs(begin, end):
                state, gained = advance(
                    *shared, state, data, run.rows, run.count, guide=guide, plan=plan
                )
                total = total + gained
                bar.update(run.count)
            score = np.nan
            if judge is not None:
                score = row_total(problem, guide.middle(state.params), judge) / judge.rows
            course.record(state, float(total) * problem.structure.rows / (end - begin), score)
            if checkpoint:
                save(checkpoint, course.arrays(), about)
    return course.finish()


def log_joint_at(problem: Problem, values: Globals, plan: Training) -> float:
    """Log joint density of global sites and all rows, assignments summed out."""
    everything = make_batches(problem, np.arange(problem.structure.rows), 4 * plan.batch, 0)
    pieces = evaluate(problem.model, values, structure=problem.structure)
    return row_total(problem, values, everything) + float(pieces.log_prior)


def _split(problem: Problem, plan: Training, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are fitted, and rows kept aside."""
    rows = problem.structure.rows
    order = np.asarray(random.permutation(key, rows))
    aside = round(plan.held_out * rows)
    if plan.held_out and not 0 < aside < rows:
        raise InputError(
            f"held_out ({plan.held_out}) of {rows} rows keeps {aside} aside: give another share"
        )
    return np.sort(order[aside:]), np.sort(order[:aside])


def courses(found: list[Trained], final: np.ndarray) -> dict[str, Any]:
    """Every start's objective round by round, its last value that of all rows."""
    longest = max(len(trained.objective) for trained in found) + 1
    objective = np.full((len(found), longest), np.nan)
    aside = np.full((len(found), longest), np.nan)
    for i, trained in enumerate(found):
        length = len(trained.objective)
        objective[i, :length], aside[i, :length] = trained.objective, trained.kept_aside
        objective[i, length] = final[i]
    report: dict[str, Any] = {
        "objective": (("start", "iteration"), objective),
        "final": (("start",), final),
        "iterations": (("start",), np.array([trained.steps for trained in found])),
    }
    if np.isfinite(aside).any():
        report["kept_aside"] = (("start", "iteration"), aside)
    return report


def _about(problem: Problem, guide: Guide, plan: Training, key: Array) -> dict[str, Any]:
    """What makes a run the same run."""
    model = problem.model
    return {
        "program": program_name(model.function),
        "arguments": to_json(model.arguments),
        "fixed": to_json(model.fixed),
        "data": fingerprint(model.data),
        "guide": [guide.shape, guide.rank, list(guide.random_sites)],
        "precision": str(jnp.result_type(float)),
        "key": random.key_data(key).tolist(),
        **asdict(plan),
    }


@dataclass
class _Course:
    """Training round by round: where it stands, where it was best, when it is over."""

    plan: Training
    state: State
    best: Params = field(init=False)
    objective: list[float] = field(default_factory=list)
    kept_aside: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.best = self.state.params

    @property
    def next_round(self) -> tuple[int, int]:
        """First and last step of the next round."""
        rounds, done = min(ROUNDS, self.plan.steps), len(self.objective)
        return self.plan.steps * done // rounds, self.plan.steps * (done + 1) // rounds

    @property
    def going(self) -> bool:
        """Whether there are steps left and the rows kept aside are predicted ever better."""
        done = int(self.state.step) >= self.plan.steps
        return not (done or self._stalled or (self.objective and np.isnan(self.objective[-1])))

    @property
    def _stalled(self) -> bool:
        scores = np.array(self.kept_aside)
        if not self.plan.held_out or not len(scores):
            return False
        return len(scores) - 1 - int(np.argmax(scores)) >= self.plan.patience

    def record(self, state: State, objective: float, score: float) -> None:
        """A round is over."""
        self.state = state
        self.objective.append(objective)
        self.kept_aside.append(score)
        if not self.plan.held_out or score >= np.nanmax(self.kept_aside):
            self.best = state.params

    def arrays(self) -> dict[str, Any]:
        """All of it as arrays by name."""
        leaves = jax.tree.leaves((self.state, self.best))
        named = {f"leaf {i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        return named | {"objective": self.objective, "kept_aside": self.kept_aside}

    def resume(self, arrays: dict[str, np.ndarray] | None) -> None:
        """Go on from what :meth:`arrays` gave."""
        if arrays is None:
            return
        leaves, structure = jax.tree.flatten((self.state, self.best))
        read = [jnp.asarray(arrays[f"leaf {i}"]) for i in range(len(leaves))]
        self.state, self.best = jax.tree.unflatten(structure, read)
        self.objective = arrays["objective"].tolist()
        self.kept_aside = arrays["kept_aside"].tolist()

    def finish(self) -> Trained:
        """The best round's parameters where rows are kept aside, else the last's."""
        *before, last = self.objective
        steady = bool(before) and last <= max(before[-3:]) + STEADY * (1 + abs(last))
        return Trained(
            self.best,
            np.array(self.objective),
            np.array(self.kept_aside),
            int(self.state.step),
            bool(steady or self._stalled),
        )
