"""The last steps of EM: Newton's method on the objective itself, from where EM stopped.

EM converges slowly where clusters overlap, and stops short of the mode; near the mode every Newton
step doubles the number of correct digits. EM also stops on plateaus, such as where two clusters are
nearly one, in which every iteration gains little: Newton's method leaves them along the curvature
that points up. No step lowers the objective.

:func:`nats_left` tells a run that has come to an optimum from one whose M-step without closed form
finds no way up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import logsumexp

from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.newton import FARTHEST, LARGEST, minimise_and_tell
from ppl_models.inference.prior_places import reaches
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise import m_step as rowwise
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Assign, e_step
from ppl_models.inference.statistics.m_step import left_to_gain
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure

STEPS = 20  #: of Newton's method at most
NATS = 0.01  #: by which the objective may be below its optimum: a seventh of a posterior deviation


def polished(problem: Problem, runs: EMRuns, *, flat: bool) -> tuple[EMRuns, np.ndarray]:
    """EM's runs, each gone on with to the mode by Newton's method; converged if it came there.

    And whether their Hessians are numbers there, ``(start,)``.

    Args:
        problem: program and data.
        runs: of EM, soft assignments.
        flat: whether the priors are left out.
    """
    start = {n: jnp.asarray(v) for n, v in runs.values.items()}
    values, objective, there, bends = _to_the_mode(
        problem.model,
        start,
        structure=problem.structure,
        flat=flat,
        differences=rowwise.rowwise_plan(problem, flat=flat).differences,
    )
    seen = [row[np.isfinite(row)] for row in runs.objective]
    before = np.array([row[-1] if len(row) else np.inf for row in seen])
    better = np.asarray(objective) > before
    polished_values = {
        n: np.where(better.reshape(-1, *[1] * (v.ndim - 1)), np.asarray(values[n]), v)
        for n, v in runs.values.items()
    }
    last = np.where(better, np.asarray(objective), np.nan)
    length = int(runs.iterations.max())
    columns = np.concatenate([runs.objective[:, :length], np.full((len(last), 1), np.nan)], 1)
    columns[np.arange(len(last)), runs.iterations] = last
    path = {
        n: np.concatenate([v[:, :length], polished_values[n][:, None]], 1)
        for n, v in runs.path.items()
    }
    for n, v in path.items():
        v[np.arange(len(last)), runs.iterations] = polished_values[n]
    after = replace(
        runs,
        values=polished_values,
        objective=columns,
        iterations=np.isfinite(columns).sum(1),
        converged=runs.converged & np.asarray(there),
        path=path,
    )
    return after, np.asarray(bends)


@partial(jax.jit, static_argnames=("structure", "flat", "differences"))
def _to_the_mode(
    model: Model, values: Globals, *, structure: Structure, flat: bool, differences: bool
) -> tuple[Globals, Array, Array, Array]:
    """Values, objective, whether it is an optimum and whether the Hessian is a number there.

    Of every start, ``(start, ...)``.
    """
    space = structure.space

    def height(vector: Array) -> Array:
        at = space.constrain(space.unravel(vector))
        total = model.summed(logsumexp(model.logits(at, structure), axis=0))
        return total if flat else total + model.pieces(at, structure).log_prior

    number = model.row_count(structure)

    def one(values: Globals) -> tuple[Globals, Array, Array, Array]:
        start = space.ravel(space.unconstrain(values))
        priors = model.pieces(values, structure).priors
        farthest = space.ravel(reaches(priors, space.sites, FARTHEST))
        minimum, there, bends = minimise_and_tell(
            lambda v: -height(v) / number,
            start,
            STEPS,
            farthest=farthest,
            enough=NATS / number,
            differences=differences,
        )
        return space.constrain(space.unravel(minimum)), height(minimum), there, bends

    return lax.map(one, values)


def nats_left(
    problem: Problem, runs: EMRuns, free: tuple[str, ...], assign: Assign, *, flat: bool
) -> np.ndarray:
    """What the next M-step promises, ``(start,)``; infinite where no Hessian tells it.

    Args:
        problem: program and data.
        runs: of EM.
        free: the sites without a closed form, where sufficient statistics sum the rows up. Nothing
            is promised where there are none, or too many to tell.
        assign: soft or hard assignment.
        flat: whether the priors are left out.
    """
    by_row = None if problem.sums_rows_up else rowwise.rowwise_plan(problem, flat=flat)
    free = free if by_row is None else by_row.free
    space = problem.structure.space.of(free)
    sizes = sum(int(np.prod(site.unconstrained_shape)) for site in space.sites)
    if not 0 < sizes <= LARGEST:
        return np.zeros(len(runs.iterations))
    values = {n: jnp.asarray(v) for n, v in runs.values.items()}
    left = _left(
        problem.model, None if by_row else problem.chunks, values,
        structure=problem.structure, free=free, assign=assign, flat=flat, plan=by_row,
    )  # fmt: skip
    return np.asarray(left)


@partial(jax.jit, static_argnames=("structure", "free", "assign", "flat", "plan"))
def _left(
    model: Model,
    chunks: Chunks | None,
    values: Globals,
    *,
    structure: Structure,
    free: tuple[str, ...],
    assign: Assign,
    flat: bool,
    plan: rowwise.RowwisePlan | None,
) -> Array:
    def one(values: Globals) -> Array:
        if plan is not None:
            weights, _ = rowwise.row_weights(model, structure, values, assign)
            return rowwise.left_to_gain(model, structure, plan, values, weights, flat=flat)
        assert chunks is not None
        expected = e_step(model.pieces(values, structure), structure, chunks, assign)
        return left_to_gain(model, structure, free, values, expected, chunks, flat=flat)

    return lax.map(one, values)
