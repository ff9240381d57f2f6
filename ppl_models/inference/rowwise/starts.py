"""Initial values of EM for programs without sufficient statistics: from partitions of the rows.

The rows' numbers, those that the program emits and those that it is given, are points; clusters are
seeded among them by k-means++ or at random, or every row goes to a cluster at random, which finds
lines that cross, where no partition by distance does. Each partition is softened and the expected
log joint density maximised under it.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.data.missing import missing_cells
from ppl_models.inference.initial.from_weights import SMOOTHING
from ppl_models.inference.initial.known import seeds_beside_known, settled
from ppl_models.inference.initial.seeds import seeds
from ppl_models.inference.prior_places import at_prior_means
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import RowwisePlan, maximise, rowwise_plan
from ppl_models.program.chains.chain_densities import observed_by_row
from ppl_models.program.densities.units import units_of
from ppl_models.program.model import KNOWN_CLUSTER, Globals, Model
from ppl_models.program.rows.known_clusters import known_clusters
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import split, split_apart
from ppl_models.program.trace.structure import Structure

MOST_KINDS = 20  #: whole numbers whose shares are told apart
STEPS = 15  #: of Newton's method under the first partition


def rowwise_starts(
    problem: Problem, key: Array, starts: int, *, flat: bool, active: Array | None = None
) -> tuple[Globals, list[str]]:
    """Global sites of several starts, ``(start, ...)``, and what kind of start each is.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts.
        flat: leave the priors out.
        active: ``(start, cluster)``, the clusters that each start may use (default: all).
    """
    structure = problem.structure
    seed_key, part_key, value_key = split_apart(key, 3)
    points = jnp.asarray(row_points(problem))
    by_seeds = (starts + 1) // 2
    if structure.clusters == 1 or points.shape[1] == 0:
        by_seeds = 0
    # (row by row, so that rows that only fill up change no draw of the others)
    labels = random.randint(
        part_key, (structure.rows, starts), 0, structure.clusters, dtype=jnp.int32
    ).T
    known, weights = known_clusters(problem.model), problem.model.weights
    if by_seeds:
        count = structure.clusters
        if known is None:
            chosen = seeds(seed_key, points, count, by_seeds, weights)
        else:
            seed_rows = seeds_beside_known(seed_key, points, count, by_seeds, known, weights)
            chosen = jnp.asarray(seed_rows)
        labels = labels.at[:by_seeds].set(_nearest(points, chosen))
    values = _from_partitions(
        problem.model,
        labels,
        split(value_key, starts),
        active,
        structure=structure,
        plan=rowwise_plan(problem, flat=flat),
        flat=flat,
    )
    spread = (by_seeds + 1) // 2
    kinds = ["k-means++"] * spread + ["random"] * (by_seeds - spread)
    return values, kinds + ["partition"] * (starts - by_seeds)


def row_points(problem: Problem) -> np.ndarray:
    """The numbers of every row, standardised, ``(row, number)``; 0 where one is missing."""
    rows = problem.structure.rows
    columns = [np.zeros((rows, 0))]
    emitted = problem.structure.indexed
    values = {n: np.asarray(v) for n, v in problem.model.data.items()}
    apart = (*emitted, KNOWN_CLUSTER)
    arrays = [v for n, v in values.items() if n not in apart and v.shape[:1] == (rows,)]
    if problem.structure.panel:
        emissions = observed_by_row(problem.model, problem.structure)
        arrays = [np.asarray(v) for v in emissions.values()]
    if emitted:
        arrays += _summaries(problem, values)
    for array in arrays:
        if array.dtype.kind not in "fiub":
            continue
        numbers = np.where(missing_cells(array), np.nan, array.astype(float)).reshape(rows, -1)
        seen = np.isfinite(numbers)
        count = np.maximum(seen.sum(0), 1)
        centred = np.where(seen, numbers - np.where(seen, numbers, 0).sum(0) / count, 0)
        spread = np.sqrt((centred**2).sum(0) / count)
        columns.append(centred / np.where(spread > 0, spread, 1))
    return np.concatenate(columns, 1).astype(jnp.result_type(float))


def _summaries(problem: Problem, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Averages over the cells of every row: means, and frequencies where there are few values."""
    count, summaries = problem.structure.rows, []
    for name, place in units_of(problem.model).rows.items():
        row, cells = np.asarray(place), values.get(name)
        if cells is None or cells.dtype.kind not in "fiub":
            continue
        cells = np.where(missing_cells(cells), np.nan, cells.astype(float))
        if cells.size % len(row):
            continue
        columns = cells.reshape(len(row), -1)
        kinds = np.unique(columns[np.isfinite(columns)])
        if len(kinds) <= MOST_KINDS and (kinds == np.floor(kinds)).all():
            columns = np.concatenate(
                [np.where(np.isfinite(columns), columns == kind, np.nan) for kind in kinds], 1
            )
        seen = np.isfinite(columns)
        total, number = (
            np.stack([np.bincount(row, weights=c, minlength=count) for c in each.T], 1)
            for each in (np.where(seen, columns, 0.0), seen)
        )
        summaries.append(np.where(number > 0, total / np.maximum(number, 1), np.nan))
    return summaries


@jax.jit
def _nearest(points: Array, chosen: Array) -> Array:
    """The nearest seed of every row, ``(start, row)``."""

    def one(chosen: Array) -> Array:
        centres = points[chosen]
        return ((centres**2).sum(-1)[:, None] - 2 * centres @ points.T).argmin(0)

    return lax.map(one, chosen).astype(jnp.int32)


@quickly(static=("structure", "plan", "flat"))
def _from_partitions(
    model: Model,
    labels: Array,
    keys: Array,
    usable: Array | None,
    *,
    structure: Structure,
    plan: RowwisePlan,
    flat: bool,
) -> Globals:
    def one(labels: Array, key: Array, active: Array | None) -> Globals:
        one_hot = labels[None] == jnp.arange(structure.clusters)[:, None]
        weights = (1 - SMOOTHING) * one_hot + SMOOTHING / structure.clusters
        if active is not None:
            weights = jnp.where(active[:, None], weights, 0)
            weights = weights / weights.sum(0)
        weights = settled(weights, model.data.get(KNOWN_CLUSTER))
        if model.weights is not None:
            weights = weights * model.weights
        values = structure.initial(key, radius=0.1)
        values = at_prior_means(model, structure, values, plan.free)
        return maximise(model, structure, plan, values, weights, flat=flat, steps=STEPS)

    return lax.map(lambda arguments: one(*arguments), (labels, keys, usable))
