"""The mode of the posterior by stochastic gradients: Adam on mini-batches.

For programs without closed-form EM updates (recurrent networks, regressions, heavy tails), and for
more rows than every step can pass over. Robbins and Monro (1951); Kingma and Ba (2015).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jax import Array, random

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import CONTINUOUS_SITES, INDEPENDENT_ROWS
from ppl_models.inference.em.driver import cluster_order
from ppl_models.inference.gradient.batches import whole_passes
from ppl_models.inference.gradient.guides import Guide
from ppl_models.inference.gradient.starts import default_starts, gradient_starts
from ppl_models.inference.gradient.steps import TrainingOptions
from ppl_models.inference.gradient.training import (
    TrainingResult,
    full_log_joint,
    starts_report,
    train,
)
from ppl_models.inference.method import Method
from ppl_models.inference.modes.unbounded import refuse_unbounded
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.model import Globals
from ppl_models.program.parameters.label_symmetry import permute_labels

METHOD = Method(
    "point",
    "soft",
    LOG_POSTERIOR,
    (CONTINUOUS_SITES, INDEPENDENT_ROWS),
    row_weights="any",
    keeps_states=True,
)


def map(  # noqa: A001
    problem: Problem,
    key: Array,
    *,
    steps: int = 2000,
    batch_size: int = 256,
    learning_rate: float = 0.01,
    clip_norm: float = 1.0,
    validation_fraction: float = 0.0,
    patience: int = 4,
    starts: int | None = None,
    checkpoint: str | Path | None = None,
) -> Result:
    """Maximise the posterior density of the global sites, assignments summed out.

    Args:
        problem: program and data.
        key: random key.
        steps: most steps.
        batch_size: rows of a batch; sequences of similar length share one. Rows of all weights are
            as likely in a batch, and count there as often as they weigh.
        learning_rate: the largest; it falls to zero towards the last step.
        clip_norm: largest norm of the gradient of the log joint density per row.
        validation_fraction: share of the rows that is not fitted: training stops when they are
            predicted worse, and goes back to the best round.
        patience: rounds, of 20, without a gain on these rows before it stops.
        starts: number of starts (default 4 where something is hidden, else 1), the first at EM's
            mode where EM serves.
        checkpoint: file that is written after every round, and that a run cut short goes on from.

    Returns:
        One point, the best start's; every start's objective by round in ``starts``, and in the
        attribute ``log_joint_mode`` that of EM's mode, where EM serves.

    Raises:
        InputError: options out of range, a checkpoint of another run, or a density without bound.
    """
    together = problem.structure.locals
    problem = problem.with_locals()
    if starts is None:
        starts = default_starts(problem)
    if starts < 1:
        raise InputError(f"starts is {starts}: ask for at least one")
    if not problem.structure.sites:
        raise InputError("every global site is fixed: there is nothing to maximise")
    options = TrainingOptions(
        steps, batch_size, learning_rate, clip_norm, validation_fraction, patience
    )
    guide = Guide(problem.structure)
    start_key, train_key = random.split(key)
    values, initializations = gradient_starts(problem, start_key, starts)
    results = [
        train(
            problem,
            guide,
            start,
            random.fold_in(train_key, i),
            options,
            checkpoint=_of_start(checkpoint, i),
            label=f"map, start {i + 1} of {starts}",
        )
        for i, start in enumerate(values)
    ]
    points = [guide.middle(result.params) for result in results]
    final = np.array([full_log_joint(problem, point, batch_size) for point in points])
    attributes = {}
    if initializations[0] == "em":
        attributes["log_joint_mode"] = full_log_joint(problem, values[0], batch_size)
    best = _best(problem, points, results, final, initializations)
    notes = list(best.notes)
    if together:
        notes.append(
            f"site '{together[0]}' has a value a row, which is at the joint mode with the global "
            "sites and not integrated out, so that scales of such values come out too small: "
            "method='nuts' or 'gibbs' integrates them out"
        )
    return replace(best, attributes=attributes, notes=notes)


def _of_start(checkpoint: str | Path | None, start: int) -> Path | None:
    """Every start has a file of its own."""
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    return path if start == 0 else path.with_name(f"{path.stem}.{start}{path.suffix}")


def _best(
    problem: Problem,
    points: list[Globals],
    results: list[TrainingResult],
    final: np.ndarray,
    initializations: list[str],
) -> Result:
    """The start with the highest log joint density of all rows, clusters in order of weight."""
    best = int(np.argmax(np.where(np.isfinite(final), final, -np.inf)))
    if not np.isfinite(final[best]):
        raise InputError(
            "no start ended where the density is finite: lower learning_rate or clip_norm, or use "
            "method='nuts'"
        )
    refuse_unbounded(problem, points[best], may_leave_out=False)
    notes = whole_passes(problem)
    if not results[best].converged:
        notes.append("the best start still moved at the end: raise steps")
    validation = results[best].validation
    if np.isfinite(validation).any():
        notes.append(
            "some rows were not fitted, but stopped the training: their log-density is "
            f"{np.nanmax(validation):.4f} a row"
        )
    point = {n: np.asarray(v) for n, v in points[best].items()}
    if problem.exchangeable:
        order = cluster_order(problem, point)
        point = permute_labels(point, problem.labels.axes, order)
    starts = starts_report(results, final)
    starts["converged"] = (("start",), np.array([result.converged for result in results]))
    starts["best"] = (("start",), np.arange(len(results)) == best)
    starts["initialization"] = (("start",), np.array(initializations))
    return Result({n: v[None, None] for n, v in point.items()}, METHOD, {}, starts, notes=notes)
