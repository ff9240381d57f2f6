"""The mode of the posterior by stochastic gradients: Adam on mini-batches.

Where EM has no closed forms to build on (recurrent networks, regressions, heavy tails), and where
rows are too many to be passed over at every step. Robbins and Monro (1951); Kingma and Ba (2015).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jax import Array, random

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import CONTINUOUS_SITES, NO_ROW_LATENTS
from ppl_models.inference.em.driver import cluster_order
from ppl_models.inference.gradient.guides import Guide
from ppl_models.inference.gradient.objective import Training
from ppl_models.inference.gradient.starts import gradient_starts
from ppl_models.inference.gradient.training import (
    Trained,
    courses,
    log_joint_at,
    train,
)
from ppl_models.inference.method import Method
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem, Result
from ppl_models.program.axes import cluster_axes, permute_clusters

METHOD = Method("point", "soft", LOG_POSTERIOR, (NO_ROW_LATENTS, CONTINUOUS_SITES))


def map(  # noqa: A001
    problem: Problem,
    key: Array,
    *,
    steps: int = 2000,
    batch: int = 256,
    rate: float = 0.01,
    clip: float = 1.0,
    held_out: float = 0.0,
    patience: int = 4,
    starts: int | None = None,
    checkpoint: str | Path | None = None,
) -> Result:
    """Maximise the posterior density of the global sites, assignments summed out.

    Args:
        problem: program and data.
        key: random key.
        steps: most steps; the learning rate falls to zero towards the last.
        batch: rows of a batch; sequences of similar length share one.
        rate: largest learning rate.
        clip: largest norm of the gradient of the log joint density per row.
        held_out: share of the rows that is kept aside: training stops when they are predicted
            worse, and the best round is kept.
        patience: rounds, of 20, without a gain on the rows kept aside before it stops.
        starts: number of starts (default 4 where rows are assigned, else 1).
        checkpoint: file that every round is written to, and that a run cut short goes on from.

    Returns:
        One point, the best start's; every start's course in ``starts``.

    Raises:
        InputError: options out of range, or a checkpoint of another run.
    """
    if starts is None:
        starts = 1 if problem.structure.assignment is None else 4
    if starts < 1:
        raise InputError(f"starts is {starts}: ask for at least one")
    if not problem.structure.sites:
        raise InputError("every global site is fixed: there is nothing to maximise")
    plan = Training(steps, batch, rate, clip, held_out, patience)
    guide = Guide(problem.structure)
    origin_key, train_key = random.split(key)
    values, kinds = gradient_starts(problem, origin_key, starts)
    found = [
        train(
            problem,
            guide,
            start,
            random.fold_in(train_key, i),
            plan,
            checkpoint=_of_start(checkpoint, i),
            label=f"map, start {i + 1} of {starts}",
        )
        for i, start in enumerate(values)
    ]
    return _best(problem, guide, found, kinds, plan)


def _of_start(checkpoint: str | Path | None, start: int) -> Path | None:
    """Every start has a file of its own."""
    if checkpoint is None:
        return None
    path = Path(checkpoint)
    return path if start == 0 else path.with_name(f"{path.stem}.{start}{path.suffix}")


def _best(
    problem: Problem, guide: Guide, found: list[Trained], kinds: list[str], plan: Training
) -> Result:
    """The start with the highest log joint density of all rows, clusters in order of weight."""
    points = [guide.middle(trained.params) for trained in found]
    final = np.array([log_joint_at(problem, point, plan) for point in points])
    ranked = np.where(np.isfinite(final), final, -np.inf)
    best = int(np.argmax(ranked))
    notes = []
    if not np.isfinite(final[best]):
        notes.append("no start ended at a finite density: lower rate or clip")
    if not found[best].converged:
        notes.append("the best start still moved at the end: raise steps")
    if plan.held_out:
        notes.append(
            f"{plan.held_out:.0%} of the rows were kept aside to stop by, and took no part in the "
            f"fit: log density a row there {np.nanmax(found[best].kept_aside):.4f}"
        )
    point = {n: np.asarray(v) for n, v in points[best].items()}
    if problem.exchangeable:
        order = cluster_order(problem, point)
        point = permute_clusters(
            point, cluster_axes(problem.structure, problem.parameter_map), order
        )
    starts = courses(found, final)
    starts["converged"] = (("start",), np.array([trained.converged for trained in found]))
    starts["kept"] = (("start",), np.arange(len(found)) == best)
    starts["initialization"] = (("start",), np.array(kinds))
    return Result({n: v[None, None] for n, v in point.items()}, METHOD, {}, starts, notes=notes)
