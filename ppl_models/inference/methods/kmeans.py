"""k-means: the limit of the spherical Gaussian mixture as its shared scale goes to zero.

With equal weights and one scale σ for all clusters, log p(z = k, x) = -|x - μ_k|² / 2σ² + constant.
As σ → 0 the responsibilities go to the nearest centre, priors and weights stop to matter, and EM
becomes alternating minimisation of J(Q, μ) = Σ_n Σ_k Q_nk |x_n - μ_k|² (Lloyd 1982; Bishop 2006
§9.3.2). Nothing is declared anew: the program's emission is used at σ = 1 with the hard assignment.
"""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import memory
from ppl_models.data.progress import progress_bar
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import ASSIGNMENT, STATISTICS
from ppl_models.inference.hamerly import hamerly
from ppl_models.inference.initial.starts import seed_points, seeds
from ppl_models.inference.method import Capability, Lack, Method
from ppl_models.inference.objective import SUM_OF_SQUARES
from ppl_models.inference.problem import Problem, Result


def _no_sphere(problem: Problem) -> Lack | None:
    if len(problem.families) != 1:
        return Lack(f"there are {len(problem.families)} observed sites")
    ((name, family),) = problem.families.items()
    if family.distance_scale is not None:
        return None
    chosen = "covariance" in inspect.signature(problem.model.function).parameters
    gaussian = family.component_picture == "ellipses"
    advice = "give covariance='spherical'" if chosen and gaussian else ""
    return Lack(f"site '{name}' emits from {type(family).__name__}", advice)


def _missing_cells(problem: Problem) -> Lack | None:
    for name, missing in problem.chunks.missing:
        if missing:
            return Lack(f"site '{name}' has missing cells, which have no distance")
    return None


SPHERE = Capability("one spherical Gaussian emission, whose limit it is", _no_sphere)
COMPLETE_ROWS = Capability("complete rows", _missing_cells)
SPHERES = (*STATISTICS, ASSIGNMENT, SPHERE, COMPLETE_ROWS)
METHOD = Method("point", "hard", SUM_OF_SQUARES, SPHERES)


def kmeans(
    problem: Problem,
    key: Array,
    *,
    starts: int = 10,
    iterations: int = 300,
    centres: Any = None,
) -> Result:
    """Minimise the sum of squared distances from the nearest centre.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows.
        iterations: most iterations of a start.
        centres: ``(cluster, feature)`` to start from instead.

    Returns:
        One point: ``loc`` are the centres μ, ``assignment`` is Q, ``inertia`` in the sample
        statistics is J. ``weights`` (equal) and ``scale`` (root mean square distance a feature)
        make it a point of the program, whose hard assignment Q is.
    """
    if starts < 1 or iterations < 1:
        raise InputError(f"starts ({starts}) and iterations ({iterations}) must be at least 1")
    ((name, family),) = problem.families.items()
    initial = _initial_centres(problem, key, starts, centres)
    runs = [_run(problem, name, c, iterations) for c in initial]
    best = int(np.argmin([r[1][-1] for r in runs]))
    centre_path, objective, converged = runs[best]
    loc = centre_path[-1]
    assignment, inertia = _assign(problem, family, name, jnp.asarray(loc))
    order = np.argsort(-np.bincount(assignment, minlength=len(loc)), kind="stable")
    rank = np.argsort(order)
    longest = max(len(r[1]) for r in runs)
    table = np.full((len(runs), longest), np.nan)
    for row, run in zip(table, runs, strict=True):
        row[: len(run[1])] = run[1]
    notes = [] if converged else ["the best start did not converge: raise iterations"]
    return Result(
        _values(problem, loc[order], inertia),
        METHOD,
        {"inertia": np.full((1, 1), inertia)},
        {
            "objective": (("start", "iteration"), table),
            "final": (("start",), np.array([r[1][-1] for r in runs])),
            "iterations": (("start",), np.array([len(r[1]) for r in runs])),
            "converged": (("start",), np.array([r[2] for r in runs])),
            "kept": (("start",), np.arange(len(runs)) == best),
        },
        {"loc": centre_path[:, order], "objective": objective},
        rank[assignment][None, None],
        notes=notes,
    )


def _initial_centres(problem: Problem, key: Array, starts: int, centres: Any) -> list[Array]:
    (name,) = problem.families
    data = np.asarray(problem.model.data[name])
    shape = (problem.structure.clusters, *data.shape[1:])
    if centres is not None:
        if np.shape(centres) != shape:
            raise InputError(f"centres have shape {np.shape(centres)}, not {shape}")
        return [jnp.asarray(centres, data.dtype)]
    _, arrays = seed_points(problem, key)
    points = arrays[name].reshape(arrays[name].shape[0], -1)
    chosen = seeds(key, points, problem.structure.clusters, starts)
    return [arrays[name][rows] for rows in chosen]


def _run(
    problem: Problem, name: str, centres: Array, iterations: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Centres and J by iteration, and whether rows stopped to change."""
    data = np.asarray(problem.model.data[name])
    rows = data.reshape(len(data), -1)
    start = np.asarray(centres).reshape(len(centres), -1)
    with progress_bar(iterations, "kmeans", problem.progress) as bar:
        found = hamerly(rows, start, iterations, bar.update)
    path = np.stack(found.centres).reshape(-1, *np.shape(centres))
    return path, np.asarray(found.objective), found.converged


def _assign(
    problem: Problem, family: ExponentialFamily, name: str, centres: Array
) -> tuple[np.ndarray, float]:
    """Nearest centre of every row, and J in double precision."""
    data = np.asarray(problem.model.data[name])
    sphere = family.replace(loc=centres, scale=jnp.ones(len(centres), centres.dtype))
    nearest, inertia = [], 0.0
    for start in range(0, len(data), memory.DISTANCE_ROWS):
        rows = data[start : start + memory.DISTANCE_ROWS]
        log_density = np.asarray(_log_density(sphere, rows, problem.chunks.centres[name]))
        chosen = log_density.argmax(0)
        difference = rows.astype(np.float64) - np.asarray(centres, np.float64)[chosen]
        nearest.append(chosen)
        inertia += float((difference**2).sum())
    return np.concatenate(nearest), inertia


@jax.jit
def _log_density(family: ExponentialFamily, rows: Array, centre: Array) -> Array:
    return family.contract(rows, missing=False, centre=centre)


def _values(problem: Problem, loc: np.ndarray, inertia: float) -> dict[str, np.ndarray]:
    """The limit as a point of the program: centres, equal weights, one scale."""
    clusters = problem.structure.clusters
    cells = problem.structure.rows * max(1, int(np.prod(loc.shape[1:])))
    by_parameter = {
        "loc": loc,
        "scale": np.sqrt(inertia / cells),
        "probs": np.full(clusters, 1 / clusters),
    }
    values = {}
    for link in problem.parameter_map.links:
        value = by_parameter[link.parameter]
        site = next(s for s in problem.structure.sites if s.name == link.site)
        values[link.site] = np.broadcast_to(value, site.shape)[None, None].copy()
    return values
