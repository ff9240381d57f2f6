"""k-means: the limit of the spherical Gaussian mixture as its shared scale goes to zero.

With equal weights and one scale σ for all clusters, log p(z = k, x) = -|x - μ_k|² / 2σ² + constant.
As σ → 0 the responsibilities go to the nearest centre, priors and weights stop to matter, and EM
becomes alternating minimisation of J(Q, μ) = Σ_n Σ_k Q_nk |x_n - μ_k|² (Lloyd (1982);
Bishop (2006) §9.3.2). Nothing is declared anew: the program's emission is used at σ = 1
with the hard assignment.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import memory
from ppl_models.data.progress import progress_bar
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.errors import InputError
from ppl_models.inference.initial.known import seeds_beside_known
from ppl_models.inference.kmeans.blocks import lloyd_over_blocks
from ppl_models.inference.kmeans.constrained import constrained_kmeans
from ppl_models.inference.kmeans.hamerly import HamerlyResult, hamerly
from ppl_models.inference.kmeans.search import greedy_kmeans_plus_plus, improve_by_swaps
from ppl_models.inference.kmeans.spheres import SPHERES, log_density, point_of_spheres
from ppl_models.inference.method import Method
from ppl_models.inference.objective import SUM_OF_SQUARES
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.rows.known_clusters import known_clusters
from ppl_models.program.runtime.checkpoint import Checkpoint

METHOD = Method(
    "point",
    "hard",
    SUM_OF_SQUARES,
    SPHERES,
    row_weights="any",
    keeps_states=True,
    passes_over_blocks=True,
)


def kmeans(
    problem: Problem,
    key: Array,
    *,
    starts: int = 4,
    iterations: int = 300,
    swaps: bool = True,
    centres: Any = None,
) -> Result:
    """Minimise the sum of squared distances from the nearest centre.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, each by greedy k-means++.
        iterations: maximum number of iterations of a start, and after each swap.
        swaps: go on from the best start by moving a centre that is missed least to where rows are
            far from all centres, as long as that lowers J; not where centres are given, or the
            clusters of some rows are known (``fit(labels=)``), which stay where they are.
        centres: ``(cluster, feature)`` to start from instead.

    Rows in blocks are passed over by Lloyd's algorithm (``inference/kmeans/blocks.py``), from the
    centres that starts and swaps lead to on a sample.

    Returns:
        One point: ``loc`` are the centres μ, ``assignment`` is Q, ``inertia`` in the sample
        statistics is J. ``weights`` (equal) and ``scale`` (root mean square distance a feature)
        make it a point of the program, whose hard assignment Q is.
    """
    if starts < 1 or iterations < 1:
        raise InputError(f"starts ({starts}) and iterations ({iterations}) must be at least 1")
    ((name, family),) = problem.families.items()
    data = np.asarray(problem.model.data[name])
    rows = data.reshape(len(data), -1)
    weights = problem.model.weights
    _refuse_few_distinct_rows(
        rows if weights is None else rows[weights > 0], problem.structure.clusters
    )
    known = known_clusters(problem.model)
    shift = rows.mean(0, dtype=np.float64).astype(rows.dtype)
    rows = rows - shift  # distances are expanded into products, which cancel far from zero
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    checkpoint = problem.checkpoint
    with (
        nullcontext() if checkpoint is None else checkpoint.interruptible(),
        progress_bar(iterations, "kmeans", problem.progress) as bar,
    ):
        runs = [
            _ended(
                checkpoint, partial(_alternate, known, rows, start, iterations, bar.update, weights)
            )
            for start in _initial_centres(problem, rows, shift, generator, starts, centres)
        ]
        best = int(np.argmin([run.objective[-1] for run in runs]))
        if swaps and centres is None and known is None:
            runs[best] = _ended(
                checkpoint,
                lambda: improve_by_swaps(
                    generator,
                    rows,
                    runs[best],
                    lambda c, most: hamerly(rows, c, most, weights=weights),
                    iterations,
                    weights,
                ),
            )
    sizes: np.ndarray | None = None
    if problem.blocks is not None:  # what was looked at so far is a sample
        start = centres if centres is not None else runs[best].centres[-1] + shift
        run_over_blocks, sizes = lloyd_over_blocks(
            problem, np.reshape(start, runs[0].centres[0].shape), iterations
        )
        runs, best = (
            [replace(run_over_blocks, centres=[c - shift for c in run_over_blocks.centres])],
            0,
        )
    centre_path = (np.stack(runs[best].centres) + shift).reshape(
        len(runs[best].centres), -1, *data.shape[1:]
    )
    objective, converged = np.asarray(runs[best].objective), runs[best].converged
    loc = centre_path[-1]
    assignment, inertia = None, float(objective[-1])
    if sizes is None:
        assignment, inertia = _assign(problem, family, name, jnp.asarray(loc))
        sizes = np.bincount(assignment, weights, minlength=len(loc))
    order = np.argsort(-sizes, kind="stable")
    if known is not None:
        order = np.arange(len(loc))  # labels say which cluster is which
    rank = np.argsort(order)
    table = np.full((len(runs), max(len(run.objective) for run in runs)), np.nan)
    for row, run in zip(table, runs, strict=True):
        row[: len(run.objective)] = run.objective
    notes = [] if converged else ["the best start did not converge: raise iterations"]
    return Result(
        _values(problem, loc[order], inertia),
        METHOD,
        {"inertia": np.full((1, 1), inertia)},
        {
            "objective": (("start", "iteration"), table),
            "final": (("start",), np.array([run.objective[-1] for run in runs])),
            "iterations": (("start",), np.array([len(run.objective) for run in runs])),
            "converged": (("start",), np.array([run.converged for run in runs])),
            "best": (("start",), np.arange(len(runs)) == best),
        },
        {"loc": centre_path[:, order], "objective": objective},
        None if assignment is None else rank[assignment][None, None],
        notes=notes,
    )


def _ended(checkpoint: Checkpoint | None, run: Callable[[], HamerlyResult]) -> HamerlyResult:
    """The iterations of one start: read from the checkpoint if it ended before, else run."""
    if checkpoint is None:
        return run()
    place = checkpoint.next_run()
    saved = checkpoint.read(place)
    if saved is None:
        made = run()
        checkpoint.write(place, {n: np.asarray(v) for n, v in vars(made).items()})
        return made
    course = list(saved["centres"]), saved["objective"].tolist()
    return HamerlyResult(*course, saved["labels"], bool(saved["converged"]))


def _alternate(
    known: np.ndarray | None,
    rows: np.ndarray,
    start: np.ndarray,
    iterations: int,
    on_iteration: Callable[[int], object],
    weights: np.ndarray | None,
) -> HamerlyResult:
    """k-means from one start, rows of known clusters held there."""
    if known is None:
        return hamerly(rows, start, iterations, on_iteration, weights)
    return constrained_kmeans(rows, start, known, iterations, on_iteration, weights)


def _refuse_few_distinct_rows(rows: np.ndarray, clusters: int) -> None:
    """Refuse as many centres as distinct rows: J is 0 then, and centres coincide or are empty."""
    distinct = len(np.unique(rows[: 100 * clusters], axis=0))
    if distinct <= clusters and len(rows) > 100 * clusters:
        distinct = len(np.unique(rows, axis=0))
    if distinct <= clusters:
        raise InputError(
            f"clusters is {clusters} and the data have {distinct} distinct rows: every row would "
            f"be a centre, and the density has no spread: give at most {distinct - 1} clusters"
            if distinct > 1
            else "all rows of the data are equal, so that there are no clusters in them"
        )


def _initial_centres(
    problem: Problem,
    rows: np.ndarray,
    shift: np.ndarray,
    generator: np.random.Generator,
    starts: int,
    centres: Any,
) -> list[np.ndarray]:
    """Centres ``(cluster, feature)`` of every start."""
    (name,) = problem.families
    clusters = problem.structure.clusters
    shape = (clusters, *np.shape(problem.model.data[name])[1:])
    if centres is not None:
        if np.shape(centres) != shape:
            raise InputError(f"centres have shape {np.shape(centres)}, not {shape}")
        return [np.asarray(centres, rows.dtype).reshape(clusters, -1) - shift]
    known = known_clusters(problem.model)
    if known is not None:
        key = jax.random.key(int(generator.integers(2**31)))
        seeds = seeds_beside_known(key, rows, clusters, starts, known, problem.model.weights)
        by_start = [rows[chosen] for chosen in seeds]
        for k in set(known[known >= 0].tolist()):
            for start in by_start[: (starts + 1) // 2]:
                start[k] = rows[known == k].mean(0)
        return by_start
    return [
        rows[greedy_kmeans_plus_plus(generator, rows, clusters, problem.model.weights)]
        for _ in range(starts)
    ]


def _assign(
    problem: Problem, family: ExponentialFamily, name: str, centres: Array
) -> tuple[np.ndarray, float]:
    """Nearest centre of every row, and J in double precision."""
    data = np.asarray(problem.model.data[name])
    sphere = family.replace(loc=centres, scale=jnp.ones(len(centres), centres.dtype))
    nearest, inertia = [], 0.0
    for start in range(0, len(data), memory.DISTANCE_ROWS):
        rows = data[start : start + memory.DISTANCE_ROWS]
        densities = np.asarray(log_density(sphere, rows, problem.chunks.centres[name]))
        chosen = densities.argmax(0)
        if (known := known_clusters(problem.model)) is not None:
            here = known[start : start + len(rows)]
            chosen = np.where(here >= 0, here, chosen)
        difference = rows.astype(np.float64) - np.asarray(centres, np.float64)[chosen]
        nearest.append(chosen)
        weights = problem.model.weights
        squares = (difference.reshape(len(rows), -1) ** 2).sum(1)
        inertia += float(
            squares.sum() if weights is None else squares @ weights[start : start + len(rows)]
        )
    return np.concatenate(nearest), inertia


def _values(problem: Problem, loc: np.ndarray, inertia: float) -> dict[str, np.ndarray]:
    """The limit as a point of the program: centres, equal weights, one scale."""
    clusters = problem.structure.clusters
    rows = problem.model.row_count(problem.structure)
    if problem.blocks is not None:
        rows = problem.blocks.summary.rows
    cells = float(rows) * max(1, int(np.prod(loc.shape[1:])))
    by_parameter = {
        "loc": loc,
        "scale": np.sqrt(inertia / cells),
        "probs": np.full(clusters, 1 / clusters),
    }
    return point_of_spheres(problem, by_parameter)
