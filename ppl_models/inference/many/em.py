"""EM on many data sets at once: a pool of starts, in which those that converged make room.

A lane is one start of one group. So many lanes as fit memory iterate side by side; after every
block of iterations lanes that have come to the end are replaced by others that wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import logsumexp

from ppl_models.data.progress import progress_bar
from ppl_models.inference.em.collapse import collapsed_components
from ppl_models.inference.em.driver import cluster_order
from ppl_models.inference.initial.from_weights import Update
from ppl_models.inference.many.buckets import (
    FEWEST,
    SMALLER,
    Bucket,
    Groups,
    Reading,
    by_batch,
    lanes_of,
)
from ppl_models.inference.many.known import GroupModel
from ppl_models.inference.many.starts import (
    Starting,
    keys_of,
    starting_of,
    starting_values,
)
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import Assign, e_step, log_joint_and_latents, soft
from ppl_models.inference.statistics.m_step import conjugate_sites, maximise
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.label_symmetry import permute_labels
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure

BLOCK = 16  #: iterations between looks at which lanes have come to the end


@dataclass(frozen=True)
class Plan:
    """What one iteration does; static."""

    structure: Structure
    links: tuple[ParameterLink, ...]
    free: tuple[str, ...]
    flat: bool
    assign: Assign


@dataclass
class Points:
    """What EM found of every group.

    Args:
        values: of the best start, ``(group, ...)``.
        objective: of every start, ``(group, start)``.
        iterations: of every start.
        converged: whether each has.
        collapsed: whether each ended with a component on too few rows.
        best: the best start, ``(group,)``.
        unbounded: whether a start came where the density is infinite, ``(group,)``.
    """

    values: dict[str, np.ndarray]
    objective: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    collapsed: np.ndarray
    best: np.ndarray
    unbounded: np.ndarray


def em_of_bucket(
    problem: Problem,
    bucket: Bucket,
    key: Array,
    *,
    starts: int,
    iterations: int,
    tolerance: float | None,
    flat: bool,
    assign: Assign = soft,
    values: Globals | None = None,
) -> Points:
    """The best of several starts for every group of a bucket.

    Args:
        problem: the program with the data of one group.
        bucket: the groups.
        key: random key.
        starts: of every group.
        iterations: maximum number of iterations per start.
        tolerance: relative gain of the objective below which iterations stop.
        flat: leave the priors out.
        assign: soft or hard assignment.
        values: where to start, ``(group, start, ...)`` (default: seeds).
    """
    plan = plan_of(problem, bucket.groups, flat=flat, assign=assign)
    if tolerance is None:
        tolerance = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-6
    tolerance = max(tolerance, 4 * float(jnp.finfo(jnp.result_type(float)).eps))
    model = jax.tree.map(jnp.asarray, problem.model)
    groups, count = bucket.groups, len(bucket.members)
    lanes = lanes_of(problem, bucket.length)
    if values is None:
        update = Update(plan.structure, plan.links, plan.free, flat, groups.chunks.missing)
        starting = starting_of(problem, update, starts)
        begin = partial(_begin, model, reading=Reading(problem), starting=starting)
        values = by_batch(
            begin, max(1, lanes // starts), count, groups, keys_of(key, bucket.members)
        )
    lanes_values = {n: np.array(v).reshape(count * starts, *v.shape[2:]) for n, v in values.items()}
    last, done, steps = _pool(
        model, groups, lanes_values, starts, plan, iterations, tolerance, lanes, problem.progress
    )
    by_start = {n: v.reshape(count, starts, *v.shape[1:]) for n, v in lanes_values.items()}
    objective = last.reshape(count, starts)
    find = partial(_collapsed, model, structure=plan.structure)
    collapsed = by_batch(find, max(1, lanes // starts), count, groups, by_start)
    height = np.where(np.isfinite(objective), objective, -np.inf)
    usable = np.where(collapsed & ~collapsed.all(1, keepdims=True), -np.inf, height)
    best = usable.argmax(1)
    chosen = {n: v[np.arange(count), best] for n, v in by_start.items()}
    return Points(
        in_order(problem, chosen),
        height,
        steps.reshape(count, starts),
        (done & np.isfinite(last)).reshape(count, starts),
        collapsed,
        best,
        np.isposinf(objective).any(1),
    )


def plan_of(problem: Problem, groups: Groups, *, flat: bool, assign: Assign = soft) -> Plan:
    """Which sites have a closed form on these data."""
    first = jax.tree.map(lambda v: v[0], groups)
    links, free = conjugate_sites(
        GroupModel.of(problem.model, first.known),
        problem.structure,
        problem.parameter_map,
        first.chunks,
        flat=flat,
    )
    return Plan(problem.structure, links, free, flat, assign)


def in_order(problem: Problem, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Clusters of every group in descending order of weight, where they may change places."""
    count = len(next(iter(values.values())))
    values_by_group = {n: np.array(v) for n, v in values.items()}
    for group in range(count):
        own = {n: v[group] for n, v in values.items()}
        order = cluster_order(problem, own)
        if (order != np.arange(len(order))).any():
            for n, v in permute_labels(own, problem.labels.axes, order).items():
                values_by_group[n][group] = v
    return values_by_group


@quickly(static=("reading", "starting"))
def _begin(
    model: Model, groups: Groups, keys: Array, *, reading: Reading, starting: Starting
) -> Globals:
    return starting_values(reading.problem, model, groups, keys, starting)


def _pool(
    model: Model,
    groups: Groups,
    values: dict[str, np.ndarray],
    starts: int,
    plan: Plan,
    iterations: int,
    tolerance: float,
    lanes: int,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Iterate every lane, replacing ``values``: objectives, convergence and iterations."""
    count = len(next(iter(values.values())))
    last = np.full(count, -np.inf, jnp.result_type(float))
    done, steps = np.zeros(count, bool), np.zeros(count, int)
    waiting = np.arange(count)
    size = lanes
    with progress_bar(count, f"em, {count} starts", progress) as bar:
        while len(waiting):
            while size >= SMALLER * max(len(waiting), 2 * FEWEST):
                size //= SMALLER
            chosen = waiting[:size]
            filled = np.resize(chosen, size)
            idle = done[filled] | (np.arange(size) >= len(chosen))
            state = _block(
                model,
                groups.take(filled // starts),
                {n: v[filled] for n, v in values.items()},
                last[filled],
                idle,
                tolerance,
                iterations - steps[filled],
                plan=plan,
            )
            moved, best, now, taken = jax.device_get(state)
            for n, v in moved.items():
                values[n][chosen] = v[: len(chosen)]
            last[chosen], done[chosen] = best[: len(chosen)], now[: len(chosen)]
            steps[chosen] += taken[: len(chosen)]
            over = done[chosen] | (steps[chosen] >= iterations)
            bar.update(int(over.sum()))
            waiting = np.concatenate([chosen[~over], waiting[size:]])
    return last, done, steps


@partial(jax.jit, static_argnames=("plan",))
def _block(
    model: Model,
    own: Groups,
    values: Globals,
    last: Array,
    done: Array,
    tolerance: Any,
    left: Array,
    *,
    plan: Plan,
) -> tuple[Globals, Array, Array, Array]:
    def one(chunks: Any, known: Any, values: Globals) -> tuple[Globals, Array]:
        group = GroupModel.of(model, known)
        pieces = group.pieces(values, plan.structure)
        expected = e_step(pieces, plan.structure, chunks, plan.assign)
        moved = maximise(
            group, plan.structure, plan.links, plan.free, values, expected, chunks, flat=plan.flat
        )
        return moved, expected.log_normaliser + (0.0 if plan.flat else pieces.log_prior)

    def going(state: Any) -> Array:
        index, _, _, ended, steps = state
        return (index < BLOCK) & ~(ended | (steps >= left)).all()

    def iteration(state: Any) -> Any:
        index, values, last, ended, steps = state
        stopped = ended | (steps >= left)
        moved, objective = jax.vmap(one)(own.chunks, own.known, values)
        now = jnp.abs(objective - last) <= tolerance * (1 + jnp.abs(objective))
        now = now | ~jnp.isfinite(objective)

        def keep(old: Array, new: Array) -> Array:
            return jnp.where((stopped | now).reshape(-1, *[1] * (old.ndim - 1)), old, new)

        last = jnp.where(stopped, last, objective)
        steps = steps + ~stopped
        ended = ended | (now & ~stopped)
        return index + 1, jax.tree.map(keep, values, moved), last, ended, steps

    start = (0, values, last, done, jnp.zeros(done.shape, int))
    _, values, last, ended, steps = lax.while_loop(going, iteration, start)
    return values, last, ended, steps


@partial(jax.jit, static_argnames=("structure",))
def _collapsed(model: Model, groups: Groups, values: Globals, *, structure: Structure) -> Array:
    def one(known: Any, deviations: Any, values: Globals) -> Array:
        group = GroupModel.of(model, known)
        finite = jnp.stack([jnp.isfinite(v).all() for v in values.values()]).all()
        collapsed = collapsed_components(group, values, deviations, structure=structure)
        return collapsed.any() | ~finite

    by_start = jax.vmap(one, in_axes=(None, None, 0))
    return jax.vmap(by_start)(groups.known, groups.deviations, values)


def densities(
    problem: Problem, bucket: Bucket, values: Mapping[str, Any], *, hard: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-density ``(group, row)``, responsibilities ``(group, cluster, row)`` and log prior.

    Args:
        problem: the program with the data of one group.
        bucket: the groups.
        values: of the global sites, ``(group, ...)``.
        hard: whether a row is wholly of its best cluster.
    """
    lanes = lanes_of(problem, bucket.length)
    find = partial(_densities, problem.model, structure=problem.structure, hard=hard)
    return by_batch(find, lanes, len(bucket.members), bucket.groups, dict(values))


@partial(jax.jit, static_argnames=("structure", "hard"))
def _densities(
    model: Model, groups: Groups, values: Globals, *, structure: Structure, hard: bool
) -> tuple[Array, Array, Array]:
    def one(groups: Groups, values: Globals) -> tuple[Array, Array, Array]:
        pieces = GroupModel.of(model, groups.known).pieces(values, structure)
        logits = row_logits(pieces, groups)
        density = logsumexp(logits, axis=0)
        responsibilities = jnp.exp(logits - jnp.where(jnp.isneginf(density), 0, density))
        if hard:
            responsibilities = jax.nn.one_hot(
                logits.argmax(0), len(logits), axis=0, dtype=logits.dtype
            )
        return density, responsibilities, pieces.log_prior

    return jax.vmap(one)(groups, values)


def row_logits(pieces: Any, groups: Groups) -> Array:
    """``log p(z = k, x_n)`` of one group's rows, ``(cluster, row)``."""
    (part,) = groups.chunks.parts
    arrays = jax.tree.map(lambda v: v[0], part.arrays)
    return log_joint_and_latents(pieces, pieces.families(), arrays, groups.chunks, "mean", {})[0]
