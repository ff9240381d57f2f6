"""Runs that end at no mode: on too few rows, on a plane, or where the density has no bound."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.modes.unbounded import unbounded_sites
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import soft
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.sites import Site, is_real
from ppl_models.program.trace.structure import Structure

FEW_ROWS = 2.5  #: a component with fewer rows, effectively, has shrunk onto them
NEXT_TO = 1e-9  #: share of the way inside by which a value is moved off a boundary
SOME_ROW = 0.5  #: a component with less than that of a row is empty, which is no collapse


def collapsed_runs(problem: Problem, runs: EMRuns, *, flat: bool) -> np.ndarray:
    """Which runs ended with a collapsed component, ``(start,)``."""
    starts = range(len(runs.objective))
    return np.array([_any_collapsed(problem, runs, i, flat=flat) for i in starts])


def _any_collapsed(problem: Problem, runs: EMRuns, start: int, *, flat: bool) -> bool:
    values = {n: v[start] for n, v in runs.values.items()}
    if not all(np.isfinite(v[start]).all() for v in runs.values.values()):
        return True
    if not flat and np.isposinf(runs.objective[start]).any():
        return True
    if not problem.sums_rows_up:
        inside = problem.structure.initial(make_key(0), radius=0.5)
        onto_rows, unbounded = no_mode(problem.model, values, inside, structure=problem.structure)
        # (a prior that is left out is free to grow without bound)
        return bool(np.asarray(onto_rows).any() | (np.asarray(unbounded) & (not flat)))
    collapsed = collapsed_components(
        problem.model, values, problem.deviations, structure=problem.structure
    )
    return bool(np.asarray(collapsed).any())


@partial(jax.jit, static_argnames=("structure",))
def collapsed_components(
    model: Model, values: Globals, deviations: dict[str, Array], *, structure: Structure
) -> Array:
    """Which components have shrunk onto a row or a plane, ``(cluster,)``."""
    families = model.pieces(values, structure).families()
    return jnp.stack([f.collapsed(deviations[n]) for n, f in families.items()]).any(0)


@partial(jax.jit, static_argnames=("structure",))
def no_mode(
    model: Model, values: Globals, inside: Globals, *, structure: Structure
) -> tuple[Array, Array]:
    """Which components have one or two rows only, and whether the prior density is unbounded.

    Rows by the effective number (Σ γ)² / Σ γ² of the responsibilities γ, ``(cluster,)``. A prior
    such as a Dirichlet of concentration below 1 has no mode: next to the boundary of its support
    it changes by nats where the values hardly move.
    """
    weights, _ = soft(model.logits(values, structure), jnp.ones(structure.rows))
    size = model.summed(weights)
    effective = size**2 / jnp.maximum(model.summed(weights**2), 1e-300)
    crowded = model.row_count(structure) > FEW_ROWS * structure.clusters
    onto_rows = crowded & (size > SOME_ROW) & (effective < FEW_ROWS)
    moved = {
        site.name: _next_to(site, values[site.name], inside[site.name]) for site in structure.sites
    }
    here, there = (model.pieces(v, structure).log_prior for v in (values, moved))
    return onto_rows, ~(here - there < 1.0)


def _next_to(site: Site, value: Array, inside: Array) -> Array:
    """A value slightly inside the support; the value itself where no direction leads inside.

    Rows of unit length (a Cholesky factor of correlations) have none between them.
    """
    if is_real(site.support):
        return value
    moved = (1 - NEXT_TO) * value + NEXT_TO * inside
    return jnp.where(jnp.all(site.support(moved)) | ~jnp.all(site.support(value)), moved, value)


def without_bound(
    problem: Problem, runs: EMRuns, final: np.ndarray, collapsed: np.ndarray
) -> np.ndarray:
    """Which runs collapsed, with those by which the density has no bound down to the best other.

    All of them where a run by which it has none had passed the best other: that is no answer.

    Args:
        problem: program and data.
        runs: EM from every start.
        final: last finite objective of each.
        collapsed: which collapsed, ``(start,)``.
    """
    infinite = np.isposinf(runs.objective).any(1)
    collapsed = collapsed | infinite
    for start in np.argsort(-final):
        if collapsed[start]:
            continue
        rising = unbounded_sites(problem, {n: v[start] for n, v in runs.values.items()})
        if rising or (final[infinite] > final[start]).any():
            return np.ones_like(collapsed)
        break
    return collapsed
