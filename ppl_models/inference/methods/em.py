"""Expectation–maximisation: the mode of the posterior, or of the likelihood.

Each iteration sums the assignments out under their posterior and maximises the expected log joint
density from the statistics, in closed form where there is one. Dempster, Laird and Rubin (1977);
with priors, Green (1990); one conditional after another, Meng and Rubin (1993).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.errors import InputError
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.method import Method, Treatment
from ppl_models.inference.objective import (
    CLASSIFICATION,
    LOG_JOINT,
    LOG_LIKELIHOOD,
    LOG_POSTERIOR,
)
from ppl_models.inference.problem import Problem, Result
from ppl_models.inference.statistics.e_step import hard, soft
from ppl_models.inference.statistics.em_loop import EMRuns, run_em
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.axes import cluster_axes, permute_clusters
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure

#: treatment of assignments, priors -> what is maximised
OBJECTIVES = {
    ("soft", "program"): LOG_POSTERIOR,
    ("soft", "flat"): LOG_LIKELIHOOD,
    ("hard", "program"): LOG_JOINT,
    ("hard", "flat"): CLASSIFICATION,
}
METHOD = Method("point", "soft", LOG_POSTERIOR)


def check(problem: Problem) -> None:
    """Em needs statistics."""
    problem.need_statistics("em")


def em(
    problem: Problem,
    key: Array,
    *,
    starts: int = 16,
    iterations: int = 2000,
    tolerance: float | None = None,
    priors: str = "program",
) -> Result:
    """Maximise the posterior density of the global sites, assignments summed out.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows (of categories a
            quarter by k-means++, the rest from random probabilities).
        iterations: most iterations of a start.
        tolerance: least relative gain that an iteration is worth (default 1e-9 in float64, 1e-6
            in float32).
        priors: "program" for the posterior mode, "flat" for maximum likelihood.

    Returns:
        One point, the best start's; every start's course in ``starts``.

    Raises:
        InputError: options out of range.
    """
    return ascend(
        problem,
        key,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        priors=priors,
        assignments="soft",
        label="em",
    )


def ascend(
    problem: Problem,
    key: Array,
    *,
    starts: int,
    iterations: int,
    tolerance: float | None,
    priors: str,
    assignments: Treatment,
    label: str,
) -> Result:
    """EM with a given treatment of the assignments (soft: EM; hard: classification EM)."""
    if priors not in ("program", "flat"):
        raise InputError(f"priors is {priors!r}: choose 'program' or 'flat'")
    if starts < 1 or iterations < 1:
        raise InputError(f"starts ({starts}) and iterations ({iterations}) must be at least 1")
    flat = priors == "flat"
    if tolerance is None:
        tolerance = 1e-9 if jnp.zeros(()).dtype == jnp.float64 else 1e-6
    links, free = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks, flat=flat
    )
    if problem.structure.assignment is None and not problem.latent:
        starts = 1
    if not problem.structure.sites:
        raise InputError("every global site is fixed: there is nothing to maximise")
    values, gradient_starts = starting_values(problem, links, free, key, starts, flat=flat)
    found = run_em(
        problem,
        values,
        links=links,
        free=free,
        iterations=iterations,
        tolerance=tolerance,
        flat=flat,
        assign=soft if assignments == "soft" else hard,
        label=label,
    )
    method = Method("point", assignments, OBJECTIVES[assignments, priors])
    result = keep_best(problem, found, gradient_starts, method)
    gaps = any(missing for _, missing in problem.chunks.missing)
    if problem.structure.assignment is None and not (problem.latent or free or gaps):
        # there is one optimum only, wherever one starts
        return replace(result, attributes={"closed_form": 1})
    return result


def keep_best(
    problem: Problem, found: EMRuns, gradient_starts: list[str], method: Method
) -> Result:
    """The best start that did not collapse, its clusters in order of weight."""
    final = np.array(
        [
            row[np.isfinite(row)][-1] if np.isfinite(row).any() else -np.inf
            for row in found.objective
        ]
    )
    if np.isneginf(final).all():
        raise InputError(
            "no start came where the data have a finite density: look for a prior or an emission "
            "that excludes some rows or values"
        )
    shrunk = np.array([_collapsed(problem, found, i) for i in range(len(final))])
    ranked = np.where(shrunk, -np.inf, final)
    notes = []
    if shrunk.all():
        ranked = final
        notes.append(
            "every start collapsed a component onto too few rows: use fewer clusters, "
            "or priors='program'"
        )
    elif shrunk.any():
        notes.append(
            f"{shrunk.sum()} of {len(final)} starts collapsed a component onto too "
            "few rows and were set aside"
        )
    best = int(np.argmax(ranked))
    if not found.converged[best]:
        notes.append("the kept start did not converge: raise iterations")
    order = cluster_order(problem, {n: v[best] for n, v in found.values.items()})
    axes = cluster_axes(problem.structure, problem.parameter_map)
    values = permute_clusters({n: v[best] for n, v in found.values.items()}, axes, order)
    length = int(found.iterations[best])
    later = {n: tuple(i + 1 for i in each) for n, each in axes.items()}
    path = {n: v[best, :length] for n, v in found.path.items()}
    path = permute_clusters(path, later, order)
    if path:
        path["objective"] = found.objective[best, :length]
    longest = int(found.iterations.max())
    starts = {
        "objective": (("start", "iteration"), found.objective[:, :longest]),
        "final": (("start",), final),
        "iterations": (("start",), found.iterations),
        "converged": (("start",), found.converged),
        "collapsed": (("start",), shrunk),
        "kept": (("start",), np.arange(len(final)) == best),
        "origin": (("start",), np.array(gradient_starts)),
    }
    return Result(
        {n: v[None, None] for n, v in values.items()},
        method,
        {"lp": np.full((1, 1), final[best])},
        starts,
        path,
        notes=notes,
    )


def _collapsed(problem: Problem, found: EMRuns, start: int) -> bool:
    values = {n: jnp.asarray(v[start]) for n, v in found.values.items()}
    if not all(np.isfinite(v[start]).all() for v in found.values.values()):
        return True
    return bool(
        collapsed(problem.model, values, problem.deviations, structure=problem.structure).any()
    )


@partial(jax.jit, static_argnames=("structure",))
def collapsed(
    model: Model, values: Globals, deviations: dict[str, Array], *, structure: Structure
) -> Array:
    """Which components have shrunk onto a row or a plane, ``(cluster,)``."""
    families = model.pieces(values, structure).families()
    return jnp.stack([f.collapsed(deviations[n]) for n, f in families.items()]).any(0)


def cluster_order(problem: Problem, values: dict[str, np.ndarray]) -> np.ndarray:
    """Clusters in descending order of weight, where they may change places."""
    link = [w for w in problem.parameter_map.links if w.emission == problem.structure.assignment]
    if not link or not problem.exchangeable:
        return np.arange(problem.structure.clusters)
    return np.argsort(-values[link[0].site], kind="stable")
