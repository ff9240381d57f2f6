"""DP-means: k-means that opens a cluster where a row is too far from all.

The limit of a Dirichlet-process mixture of spheres as their scale goes to zero (Kulis and
Jordan (2012), Revisiting k-means): minimise J(Q, μ) + λ K, where λ is the squared distance beyond
which a row is worth a cluster of its own. Each step either opens a cluster at the farthest row or
is a step of k-means, so that the objective never rises.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import UNKNOWN_CLUSTERS
from ppl_models.inference.kmeans.spheres import SPHERES, log_density, point_of_spheres
from ppl_models.inference.method import Method
from ppl_models.inference.objective import DP_MEANS_COST
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.runtime.checkpoint import StatesOfRun

METHOD = Method(
    "point",
    "hard",
    DP_MEANS_COST,
    (*SPHERES, UNKNOWN_CLUSTERS),
    row_weights="any",
    keeps_states=True,
)


def dp_means(
    problem: Problem, key: Array, *, penalty: float | None = None, iterations: int = 300
) -> Result:
    """Minimise J + λ K; the program's ``clusters`` is the most that K can be.

    Args:
        problem: program and data.
        key: random key (unused: the path is determined by the data).
        penalty: λ (default: the mean squared distance of the rows from their mean, a scale of the
            data and no choice of K).
        iterations: maximum number of iterations.

    Returns:
        One point; ``components`` in the sample statistics is K. Clusters that were not opened have
        weight 0.

    Raises:
        InputError: options out of range.
    """
    ((name, family),) = problem.families.items()
    data = np.asarray(problem.model.data[name])
    rows, weights = data.reshape(len(data), -1), problem.model.weights
    counted = np.ones(len(rows)) if weights is None else weights
    if penalty is None:
        middle = np.average(rows, 0, weights)
        penalty = float(np.average(((rows - middle) ** 2).sum(1), weights=weights))
    if penalty <= 0 or iterations < 1:
        raise InputError(f"penalty ({penalty}) and iterations ({iterations}) must be above 0")
    most = problem.structure.clusters
    centres = np.full((most, *data.shape[1:]), np.inf, data.dtype)
    centres[0] = np.average(data, 0, weights)
    opened, objective = 1, list[float]()
    converged = False
    states = StatesOfRun(problem.checkpoint)
    if (saved := states.last()) is not None:
        centres, opened = saved["centres"], int(saved["opened"])
        objective = saved["objective"].tolist()
    with states.interruptible():
        for _ in range(len(objective), iterations):
            if objective:
                state = {"centres": centres, "opened": opened, "objective": objective}
                states.keep(state)
            distance = _distances(family, centres[:opened], data, problem)
            nearest = distance.argmin(0)
            least = distance[nearest, np.arange(len(data))]
            objective.append(float(least @ counted) + penalty * opened)
            if len(objective) > 1 and objective[-1] >= objective[-2] - 1e-12 * abs(objective[-2]):
                converged = True
                break
            far = int(np.where(counted > 0, least, -1).argmax())
            if least[far] > penalty and opened < most:
                centres[opened] = data[far]
                opened += 1
                continue
            for k in range(opened):
                if counted[nearest == k].sum() > 0:
                    centres[k] = np.average(data[nearest == k], 0, counted[nearest == k])
    sizes = np.bincount(nearest, counted, minlength=most)
    order = np.argsort(-sizes, kind="stable")
    mean = float(least @ counted) / counted.sum()
    values = _values(problem, centres[order], sizes[order], mean)
    notes = [] if converged else ["the path did not converge: raise iterations"]
    if opened == most:
        notes.append(f"all {most} clusters were opened: raise clusters or penalty")
    return Result(
        values,
        METHOD,
        {
            "inertia": np.full((1, 1), float(least @ counted)),
            "components": np.full((1, 1), opened),
            "penalty": np.full((1, 1), penalty),
        },
        {
            "objective": (("start", "iteration"), np.array([objective])),
            "final": (("start",), np.array(objective[-1:])),
            "iterations": (("start",), np.array([len(objective)])),
            "converged": (("start",), np.array([converged])),
            "best": (("start",), np.array([True])),
        },
        {},
        np.argsort(order)[nearest][None, None],
        notes=notes,
    )


def _distances(
    family: object, centres: np.ndarray, data: np.ndarray, problem: Problem
) -> np.ndarray:
    """Squared distances ``(cluster, row)``, from the unit sphere's log-density."""
    (name,) = problem.families
    sphere = family.replace(  # type: ignore[attr-defined]
        loc=jnp.asarray(centres), scale=jnp.ones(len(centres), data.dtype)
    )
    densities = np.asarray(log_density(sphere, data, problem.chunks.centres[name]))
    dimension = max(1, int(np.prod(data.shape[1:])))
    return np.clip(-2 * densities - dimension * np.log(2 * np.pi), 0, None)


def _values(
    problem: Problem, loc: np.ndarray, counts: np.ndarray, mean: float
) -> dict[str, np.ndarray]:
    """The limit as a point of the program; clusters that were not opened lie at the data's mean."""
    dimension = max(1, int(np.prod(loc.shape[1:])))
    filled = np.isfinite(loc).reshape(len(loc), -1).all(1)
    middle = loc[filled].mean(0)
    by_parameter = {
        "loc": np.where(np.isfinite(loc), loc, middle),
        "scale": np.sqrt(max(mean / dimension, np.finfo(float).tiny)),
        "probs": counts / counts.sum(),
    }
    return point_of_spheres(problem, by_parameter)
