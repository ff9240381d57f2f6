"""Variational inference: a normal distribution as near to the posterior as gradients bring it.

The evidence lower bound E[log p(x, θ)] + entropy is maximised with one draw of the globals and one
mini-batch a step, in the unconstrained space. Hoffman et al. (2013); Kucukelbir et al. (2017);
of some sites alone, the rest a point (a network's last layer), Kristiadi et al. (2020).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jax import Array, random

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import CONTINUOUS_SITES, INDEPENDENT_ROWS
from ppl_models.inference.gradient.accuracy import bound, log_weights, pareto_shape
from ppl_models.inference.gradient.batches import whole_passes
from ppl_models.inference.gradient.guides import SHAPES, Guide, draws_of
from ppl_models.inference.gradient.starts import default_starts, gradient_starts
from ppl_models.inference.gradient.steps import TrainingOptions
from ppl_models.inference.gradient.training import full_log_joint, starts_report, train
from ppl_models.inference.method import Method
from ppl_models.inference.objective import EVIDENCE_BOUND
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result

SHORT = 10  #: of so many steps one is taken from every start before one start is gone on with
FEWEST = 300  #: steps of such a short run

METHOD = Method(
    "draws",
    "soft",
    EVIDENCE_BOUND,
    (CONTINUOUS_SITES, INDEPENDENT_ROWS),
    row_weights="any",
    keeps_states=True,
)


def svi(
    problem: Problem,
    key: Array,
    *,
    guide: str = "mean_field",
    rank: int = 10,
    sites: tuple[str, ...] | None = None,
    steps: int = 4000,
    batch_size: int = 256,
    learning_rate: float = 0.01,
    clip_norm: float = 10.0,
    validation_fraction: float = 0.0,
    patience: int = 4,
    starts: int | None = None,
    chains: int = 4,
    draws: int = 250,
    checkpoint: str | Path | None = None,
) -> Result:
    """Fit a normal distribution to the posterior of the unconstrained global sites, and draw.

    Args:
        problem: program and data.
        key: random key.
        guide: "mean_field" (independent coordinates, too narrow where the posterior is
            correlated), "low_rank" (a few directions more) or "full_rank" (for small programs).
        rank: directions of a low-rank guide.
        sites: the sites that are random; the others are held at the best point. Default: all.
            ``("output", "output_bias")`` is the last layer of a network.
        steps: most steps.
        batch_size: rows of a batch; sequences of similar length share one. Rows of all weights are
            as likely in a batch, and count there as often as they weigh.
        learning_rate: the largest; it falls to zero towards the last step.
        clip_norm: largest norm of the gradient of the bound per row.
        validation_fraction: share of the rows that is not fitted: training stops when they are
            predicted worse, and goes back to the best round.
        patience: rounds, of 20, without a gain on these rows before it stops.
        starts: number of starts (default 4 where something is hidden, else 1), the first at EM's
            mode where EM serves. Each is trained for a tenth of the steps, and the one with the
            highest bound for all of them.
        chains: number of chains (independent, as all draws are).
        draws: draws a chain.
        checkpoint: file that is written after every round, and that a run cut short goes on from.

    Returns:
        Independent draws of the fitted distribution; the bound by round in ``starts``, and how
        far to trust it in the attributes: ``evidence_bound``, ``pareto_k`` of the importance
        weights, ``log_joint_centre`` and, where EM serves, ``log_joint_mode`` of EM's mode.

    Raises:
        InputError: options out of range, or a checkpoint of another run.
    """
    problem = problem.with_locals()
    structure = problem.structure
    if starts is None:
        starts = default_starts(problem)
    if starts < 1:
        raise InputError(f"starts is {starts}: ask for at least one")
    if min(chains, draws, rank) < 1:
        raise InputError(f"chains ({chains}), draws ({draws}) and rank ({rank}) must be >= 1")
    if guide not in SHAPES:
        raise InputError(f"guide is {guide!r}: choose one of {', '.join(SHAPES)}")
    names = structure.names
    chosen = names if sites is None else (sites,) if isinstance(sites, str) else tuple(sites)
    unknown = [n for n in chosen if n not in names]
    if unknown or not chosen:
        wrong = f"'{unknown[0]}', which is no free site" if unknown else "no site"
        raise InputError(f"sites names {wrong}: choose among {', '.join(names) or 'none'}")
    options = TrainingOptions(
        steps, batch_size, learning_rate, clip_norm, validation_fraction, patience
    )
    approximation = Guide(structure, tuple(n for n in names if n in chosen), guide, rank)
    start_key, train_key, draw_key = random.split(key, 3)
    judge_key = random.fold_in(draw_key, 1)
    values, initializations = gradient_starts(problem, start_key, starts)
    short = replace(options, steps=min(steps, max(FEWEST, steps // SHORT)))
    trials, weights = [], []
    for i, start in enumerate(values if starts > 1 else []):
        label = f"svi, start {i + 1} of {starts}"
        run_key = random.fold_in(train_key, i)
        trials.append(train(problem, approximation, start, run_key, short, label=label))
        weights.append(log_weights(problem, approximation, trials[-1].params, judge_key))
    best = int(np.argmax([bound(w) for w in weights])) if starts > 1 else 0
    start = approximation.middle(trials[best].params) if starts > 1 else values[0]
    result = train(
        problem,
        approximation,
        start,
        train_key,
        options,
        checkpoint=checkpoint,
        label=f"svi, {guide}",
    )
    drawn = draws_of(approximation, result.params, draw_key, chains * draws)
    if not all(np.isfinite(v).all() for v in jax.tree.leaves(drawn)):
        raise InputError("svi diverged (draws are not finite): lower learning_rate or clip_norm")
    notes = whole_passes(problem)
    notes += [] if result.converged else ["the bound still moved at the end: raise steps"]
    notes.append(
        "draws are of a normal distribution near the posterior; it understates the spread where "
        "the posterior has another shape: method='nuts' has no such limit"
    )
    if len(chosen) < len(names):
        notes.append(f"only {', '.join(chosen)} vary; the other sites are held at a point")
    judged = log_weights(problem, approximation, result.params, judge_key)
    centre = approximation.middle(result.params)
    attributes = {
        "evidence_bound": bound(judged),
        "pareto_k": pareto_shape(judged),
        "log_joint_centre": full_log_joint(problem, centre, batch_size),
    }
    if initializations[0] == "em":
        attributes["log_joint_mode"] = full_log_joint(problem, values[0], batch_size)
    report = starts_report(
        [*trials[:best], result, *trials[best + 1 :]],
        np.array([bound(w) for w in (*weights[:best], judged, *weights[best + 1 :])]),
    )
    report["best"] = (("start",), np.arange(starts) == best)
    report["initialization"] = (("start",), np.array(initializations))
    if trials:
        report["bound_of_short_run"] = (("start",), np.array([bound(w) for w in weights]))
    return Result(
        {n: np.asarray(v).reshape(chains, draws, *v.shape[1:]) for n, v in drawn.items()},
        METHOD,
        {},
        report,
        notes=notes,
        attributes=attributes,
    )
