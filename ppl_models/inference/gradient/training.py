"""Stochastic gradients: any program's log joint density, or its evidence bound, by mini-batches.

A batch of B of N rows stands for all: log p(θ) + N / B Σ_batch log p(x_n | θ), assignments summed
out. Steps are Adam's on the objective divided by N, the gradient's norm bounded, the learning rate
rising briefly and then falling to zero on a cosine, so that the noise of the batches dies away.
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
from ppl_models.inference.gradient.checkpoints import load, save
from ppl_models.inference.gradient.guides import Guide, Params
from ppl_models.inference.gradient.steps import (
    TrainingOptions,
    TrainingState,
    optimiser,
    take_steps,
    total_log_density,
)
from ppl_models.inference.problem import Problem
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.arguments.known_values import with_known_values
from ppl_models.program.model import Globals, evaluate
from ppl_models.program.runtime.checkpoint import digest

ROUNDS = 20  #: rounds of a training; after each the validation rows are scored
STEADY = 1e-4  #: relative gain of the last round over the three before that counts as none


@dataclass
class TrainingResult:
    """The end of one training.

    Args:
        params: of the guide.
        objective: ``(round,)``, mean of the batches' estimates of the log joint or the bound.
        validation: ``(round,)``, log-density per validation row; NaN where there is none.
        steps: steps taken.
        converged: whether the validation rows stopped it, or the objective no longer rose.
    """

    params: Params
    objective: np.ndarray
    validation: np.ndarray
    steps: int
    converged: bool


def train(
    problem: Problem,
    guide: Guide,
    start: Globals,
    key: Array,
    options: TrainingOptions,
    *,
    checkpoint: str | Path | None = None,
    label: str = "map",
) -> TrainingResult:
    """Train a guide from a start.

    Args:
        problem: program and data.
        guide: of its global sites.
        start: values of the global sites.
        key: random key.
        options: how.
        checkpoint: file to go on from, and to write after every round.
        label: of the progress bar.

    Raises:
        InputError: no row to fit or to validate by; a checkpoint of another run.
    """
    order_key, guide_key, step_key = random.split(key, 3)
    fitted, validation = _split(problem, options, order_key)
    seed = int(random.randint(order_key, (), 0, 2**31 - 1))
    batches = make_batches(problem, fitted, options.batch_size, seed)
    judges = None
    if len(validation):
        judges = make_batches(problem, validation, 4 * options.batch_size, seed)
    params = guide.initial(guide_key, start)
    state = TrainingState(params, optimiser(options).init(params), jnp.zeros((), jnp.int32))
    rounds = _Rounds(options, state)
    identity = _identity(problem, guide, options, key) if checkpoint else {}
    if checkpoint:
        rounds.resume(load(checkpoint, identity))
    model = jax.tree.map(jnp.asarray, problem.model)
    data = tuple((bucket.data, bucket.weights) for bucket in batches.buckets)
    rows = float(problem.model.row_count(problem.structure))
    with progress_bar(options.steps, label, problem.progress) as bar:
        bar.update(int(rounds.state.step))
        while rounds.going:
            begin, end = rounds.next_round
            total, state = 0.0, rounds.state
            for run in batches.runs(begin, end):
                state, gained = take_steps(
                    model,
                    problem.known_priors,
                    step_key,
                    state,
                    data,
                    run.rows,
                    run.count,
                    guide=guide,
                    options=options,
                )
                total = total + gained
                bar.update(run.count)
            score = np.nan
            if judges is not None:
                density = total_log_density(problem, guide.middle(state.params), judges)
                score = density / judges.row_count
            rounds.record(state, float(total) * rows / (end - begin), score)
            if checkpoint:
                save(checkpoint, rounds.arrays(), identity)
    return rounds.result()


def full_log_joint(problem: Problem, values: Globals, batch_size: int) -> float:
    """Log joint density of global sites and all rows, in batches, assignments summed out."""
    batches = make_batches(problem, np.arange(problem.structure.rows), 4 * batch_size, 0)
    pieces = evaluate(problem.model, values, structure=problem.structure)
    return total_log_density(problem, values, batches) + float(pieces.log_prior)


def _split(problem: Problem, options: TrainingOptions, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit, and rows to validate by."""
    rows = problem.structure.rows
    if problem.row_order and not options.validation_fraction:
        return np.arange(rows), np.arange(0)
    order = np.asarray(random.permutation(key, rows))
    count = round(options.validation_fraction * rows)
    if options.validation_fraction and not 0 < count < rows:
        raise InputError(
            f"validation_fraction ({options.validation_fraction}) of {rows} rows leaves "
            f"{rows - count} to fit and {count} to validate by: give another share"
        )
    return np.sort(order[count:]), np.sort(order[:count])


def starts_report(results: list[TrainingResult], final: np.ndarray) -> dict[str, Any]:
    """Every start's objective round by round, its last value that of all rows."""
    longest = max(len(result.objective) for result in results) + 1
    objective = np.full((len(results), longest), np.nan)
    validation = np.full((len(results), longest), np.nan)
    for i, result in enumerate(results):
        length = len(result.objective)
        objective[i, :length], validation[i, :length] = result.objective, result.validation
        objective[i, length] = final[i]
    report: dict[str, Any] = {
        "objective": (("start", "iteration"), objective),
        "final": (("start",), final),
        "iterations": (("start",), np.array([result.steps for result in results])),
    }
    if np.isfinite(validation).any():
        report["validation_log_density"] = (("start", "iteration"), validation)
    return report


def _identity(
    problem: Problem, guide: Guide, options: TrainingOptions, key: Array
) -> dict[str, Any]:
    """What makes a run the same run."""
    model = problem.model
    return {
        "program": program_name(model.function),
        "arguments": to_json(with_known_values(model.arguments)),
        "fixed": to_json(model.held_values),
        "data": digest(model.data),
        **({} if model.weights is None else {"weights": digest({"w": model.weights})}),
        "guide": [guide.shape, guide.rank, list(guide.random_sites)],
        "precision": str(jnp.result_type(float)),
        "key": random.key_data(key).tolist(),
        **asdict(options),
    }


@dataclass
class _Rounds:
    """Training round by round: its state, its best state, and whether it goes on."""

    options: TrainingOptions
    state: TrainingState
    best: Params = field(init=False)
    objective: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.best = self.state.params

    @property
    def next_round(self) -> tuple[int, int]:
        """First and last step of the next round."""
        steps, done = self.options.steps, len(self.objective)
        rounds = min(ROUNDS, steps)
        return steps * done // rounds, steps * (done + 1) // rounds

    @property
    def going(self) -> bool:
        """Whether there are steps left, and validation has not stopped gaining."""
        done = int(self.state.step) >= self.options.steps
        diverged = bool(self.objective) and np.isnan(self.objective[-1])
        return not (done or self._stalled or diverged)

    @property
    def _stalled(self) -> bool:
        scores = np.array(self.validation)
        if not self.options.validation_fraction or not len(scores):
            return False
        return len(scores) - 1 - int(np.argmax(scores)) >= self.options.patience

    def record(self, state: TrainingState, objective: float, score: float) -> None:
        """Note the end of a round.

        Args:
            state: after it.
            objective: mean of its batches' estimates.
            score: log-density per validation row, or NaN.
        """
        self.state = state
        self.objective.append(objective)
        self.validation.append(score)
        if not self.options.validation_fraction or score >= np.nanmax(self.validation):
            self.best = state.params

    def arrays(self) -> dict[str, Any]:
        """All of it as arrays by name."""
        leaves = jax.tree.leaves((self.state, self.best))
        named = {f"leaf {i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        return named | {"objective": self.objective, "validation": self.validation}

    def resume(self, arrays: dict[str, np.ndarray] | None) -> None:
        """Go on from what :meth:`arrays` gave."""
        if arrays is None:
            return
        leaves, structure = jax.tree.flatten((self.state, self.best))
        read = [jnp.asarray(arrays[f"leaf {i}"]) for i in range(len(leaves))]
        self.state, self.best = jax.tree.unflatten(structure, read)
        self.objective = arrays["objective"].tolist()
        self.validation = arrays["validation"].tolist()

    def result(self) -> TrainingResult:
        """The best round's parameters where there are validation rows, else the last's."""
        *before, last = self.objective
        steady = bool(before) and last <= max(before[-3:]) + STEADY * (1 + abs(last))
        return TrainingResult(
            self.best,
            np.array(self.objective),
            np.array(self.validation),
            int(self.state.step),
            bool(steady or self._stalled),
        )
