"""EM where cells depend on the clusters of two rows (the edges of a network): variational EM.

No sum goes over the clusters of all rows. The E-step raises a lower bound of the log-density, in
which rows' clusters are independent of each other, by sweeps over the rows; the M-step raises the
expected log joint density. The objective is that bound, plus the log prior density.

Daudin, Picard and Robin (2008), A mixture model for random graphs, Statistics and Computing 18.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.data.missing import missing_cells
from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.initial.from_weights import SMOOTHING
from ppl_models.inference.initial.seeds import seeds
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import RowwisePlan, maximise, rowwise_plan
from ppl_models.program.densities.pair_passes import bound, mean_field, pairs_of, tables_of
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure

SWEEPS = 3  #: of an E-step
STEPS = 15  #: of Newton's method under the first partition
BLOCK = 20  #: iterations between looks at whether anything is gained
NOTE = (
    "the clusters of a network's nodes are summed out approximately: log_likelihood, log_density "
    "and what EM maximises are lower bounds (mean-field approximation)"
)


def run_network_em(
    problem: Problem, key: Array, starts: int, *, iterations: int, tolerance: float, flat: bool
) -> tuple[EMRuns, list[str]]:
    """Iterate every start until the bound gains less than ``tolerance``, relatively.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ on the rows' cells.
        iterations: maximum number of iterations per start.
        tolerance: least relative gain.
        flat: leave the priors out.
    """
    structure, plan = problem.structure, rowwise_plan(problem, flat=flat)
    labels, kinds = _labels(problem, key, starts)
    run = partial(_block, structure=structure, plan=plan, flat=flat)
    model = jax.tree.map(jnp.asarray, problem.model)
    tolerance = max(tolerance, 4 * float(jnp.finfo(jnp.result_type(float)).eps))
    ends, heights, counts, done = [], [], [], []
    for number, own in enumerate(labels):
        values, responsibilities = _first(
            model, own, random.fold_in(key, number), structure=structure, plan=plan, flat=flat
        )
        course: list[float] = []
        while len(course) < iterations:
            values, responsibilities, height = run(model, values, responsibilities)
            course += np.asarray(height).tolist()
            if course[-1] - course[-2] <= tolerance * (1 + abs(course[-1])):
                break
        ends.append({n: np.asarray(v) for n, v in values.items()})
        heights.append(course)
        counts.append(len(course))
        done.append(course[-1] - course[-2] <= tolerance * (1 + abs(course[-1])))
    longest = max(counts)
    objective = np.array([[*c, *[np.nan] * (longest - len(c))] for c in heights])
    values = {n: np.stack([each[n] for each in ends]) for n in ends[0]}
    return EMRuns(values, objective, np.array(counts), np.array(done), {}), kinds


def _labels(problem: Problem, key: Array, starts: int) -> tuple[Array, list[str]]:
    """Clusters of the rows that starts begin with, ``(start, row)``."""
    structure = problem.structure
    labels = random.randint(key, (starts, structure.rows), 0, structure.clusters, jnp.int32)
    by_seeds = (starts + 1) // 2
    points = jnp.asarray(_row_points(problem))
    chosen = seeds(key, points, structure.clusters, by_seeds)
    distance = ((points[:, None, None] - points[chosen][None]) ** 2).sum(-1)
    labels = labels.at[:by_seeds].set(distance.argmin(-1).T.astype(jnp.int32))
    return labels, ["k-means++"] * by_seeds + ["partition"] * (starts - by_seeds)


def _row_points(problem: Problem) -> np.ndarray:
    """The numbers of the cells of every row by their other row, ``(row, 2 row)``."""
    pairs, rows = pairs_of(problem.model), problem.structure.rows
    first, second = np.asarray(pairs.first), np.asarray(pairs.second)
    points, begin = np.zeros((rows, 2 * rows)), 0
    for name, size in pairs.sizes:
        here = slice(begin, begin + size)
        begin += size
        value = np.asarray(problem.model.data[name])
        if value.dtype.kind not in "fiub" or value.size % size:
            continue
        numbers = np.where(missing_cells(value), 0.0, value).astype(float).reshape(size, -1).sum(1)
        np.add.at(points, (first[here], second[here]), numbers)
        np.add.at(points, (second[here], rows + first[here]), numbers)
    return points


@quickly(static=("structure", "plan", "flat"))
def _first(
    model: Model,
    labels: Array,
    key: Array,
    *,
    structure: Structure,
    plan: RowwisePlan,
    flat: bool,
) -> tuple[Globals, Array]:
    one_hot = labels[None] == jnp.arange(structure.clusters)[:, None]
    responsibilities = (1 - SMOOTHING) * one_hot + SMOOTHING / structure.clusters
    values = structure.initial(key, radius=0.1)
    return maximise(
        model, structure, plan, values, responsibilities, flat=flat, steps=STEPS
    ), responsibilities


@partial(jax.jit, static_argnames=("structure", "plan", "flat"))
def _block(
    model: Model,
    values: Globals,
    responsibilities: Array,
    *,
    structure: Structure,
    plan: RowwisePlan,
    flat: bool,
) -> tuple[Globals, Array, Array]:
    """Several iterations: values, probabilities of the clusters, and the bound after each."""
    pairs = pairs_of(model)

    def step(state: tuple[Globals, Array], _: None) -> tuple[tuple[Globals, Array], Array]:
        values, responsibilities = state
        responsibilities = mean_field(
            tables_of(model, values, structure), pairs, responsibilities, SWEEPS
        )
        values = maximise(model, structure, plan, values, responsibilities, flat=flat)
        height = bound(tables_of(model, values, structure), pairs, responsibilities).sum()
        height = height if flat else height + model.log_prior(values, structure)
        return (values, responsibilities), height

    (values, responsibilities), heights = lax.scan(
        step, (values, responsibilities), None, length=BLOCK
    )
    return values, responsibilities, heights
