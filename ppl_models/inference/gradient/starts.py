"""Where stochastic gradients start: at EM's mode and at seeds, or at draws of the prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.inference.capabilities import ASSIGNMENT, ROW_DENSITIES, STATISTICS
from ppl_models.inference.em.driver import em_with_density
from ppl_models.inference.gradient.steps import row_log_densities
from ppl_models.inference.initial.boundary import off_boundary
from ppl_models.inference.initial.finite import finite_starts, may_lack_density
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.starts import rowwise_starts
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.block_rows import SEED_ROWS
from ppl_models.program.model import Globals, Model
from ppl_models.program.prior_draws import draw_prior, has_draws
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure

TRIES = 8  #: draws of the prior, of which the best is the start
SAMPLE = 500  #: rows that they are judged by
MODE_STARTS = 8  #: starts of EM that look for the mode
MODE_ITERATIONS = 200  #: of each
SEVERAL = 4  #: starts where something is hidden, so that there are several modes


def default_starts(problem: Problem) -> int:
    """Starts that are made where none are asked for: several where something is hidden."""
    return SEVERAL if problem.structure.assignment is not None or problem.latent else 1


def em_mode(problem: Problem, key: Array) -> Globals | None:
    """The mode that EM finds from several starts, off boundaries; None where EM does not serve.

    Of many rows EM sees a sample, so that it costs no more than a few epochs of training.

    Args:
        problem: program and data.
        key: random key.
    """
    hides = problem.structure.assignment is not None or problem.states
    rows = problem.structure.rows
    small = (rows <= SEED_ROWS or problem.structure.own_axes) and problem.offers(*ROW_DENSITIES)
    if not hides or not problem.structure.sites or not (small or problem.offers(*STATISTICS)):
        return None
    if rows > SEED_ROWS and not problem.structure.own_axes:
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:SEED_ROWS])
        data = {n: np.asarray(v)[chosen] for n, v in problem.model.data.items()}
        model = problem.model.with_data(data)
        if problem.model.weights is not None:
            model = replace(model, weights=np.asarray(problem.model.weights)[chosen])
        problem = Problem(model, replace(problem.structure, rows=SEED_ROWS), problem.progress)
    modes = em_with_density(problem, key, starts=MODE_STARTS, iterations=MODE_ITERATIONS)
    if modes is None:  # a draw of the prior may come where the density is finite
        return None
    mode = {n: jnp.asarray(v[0, 0]) for n, v in modes.values.items()}
    inside = problem.structure.initial(key)
    sites = problem.structure.space.sites
    free = {s.name: off_boundary(s, mode[s.name], inside[s.name]) for s in sites}
    return problem.structure.space.constrain(free)


def gradient_starts(problem: Problem, key: Array, starts: int) -> tuple[list[Globals], list[str]]:
    """Values of the global sites at several starts, and what kind of start each is.

    The first is at EM's mode, where EM serves and something is hidden. Others are EM's starts where
    rows are assigned: clusters that a start by chance leaves empty are found by no gradient. Else
    they are the best of a few draws of the prior.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts.
    """
    points, kinds = _starts(problem, key, starts)
    if not may_lack_density(problem):
        return points, kinds
    finite = finite_starts(problem, jax.tree.map(lambda *v: jnp.stack(v), *points))
    place = np.where(finite, np.arange(starts), np.flatnonzero(finite)[0])
    return [points[i] for i in place], [kinds[i] for i in place]


def _starts(problem: Problem, key: Array, starts: int) -> tuple[list[Globals], list[str]]:
    mode_key, rest_key = random.split(key)
    mode = em_mode(problem, mode_key)
    if mode is None:
        return _other_starts(problem, key, starts)
    if starts == 1:
        return [mode], ["em"]
    others, kinds = _other_starts(problem, rest_key, starts - 1)
    return [mode, *others], ["em", *kinds]


def _other_starts(problem: Problem, key: Array, starts: int) -> tuple[list[Globals], list[str]]:
    model, structure = problem.model, problem.structure
    if problem.offers(ASSIGNMENT, *STATISTICS):
        links, free = conjugate_sites(model, structure, problem.parameter_map, problem.chunks)
        values, kinds = starting_values(problem, links, free, key, starts, flat=False)
        return [{n: v[i] for n, v in values.items()} for i in range(starts)], kinds
    if problem.offers(ASSIGNMENT, *ROW_DENSITIES):
        values, kinds = rowwise_starts(problem, key, starts, flat=False)
        return [{n: v[i] for n, v in values.items()} for i in range(starts)], kinds
    chosen = np.sort(np.random.default_rng(0).permutation(structure.rows)[:SAMPLE])
    if problem.row_order:
        chosen = np.arange(structure.rows)
    sample = {n: jnp.asarray(v) for n, v in model.data.items()}
    if not structure.own_axes:
        sample = {n: v[chosen] for n, v in sample.items()}
    factor: Any = structure.rows / len(chosen)
    if model.weights is not None:
        factor = factor * jnp.asarray(model.weights)[chosen]
    points = []
    drawable = has_draws([*problem.example.priors.values()])
    for each in random.split(key, starts):
        drawn, height = {}, np.full(1, np.nan)
        if drawable:
            drawn = draw_prior(model, random.split(each, TRIES), structure.names)
            height = np.asarray(_heights(model, drawn, sample, factor, structure=structure))
        if np.isfinite(height).any():
            best = int(np.nanargmax(np.where(np.isfinite(height), height, np.nan)))
            points.append({n: jnp.asarray(v[best]) for n, v in drawn.items()})
        else:
            points.append(structure.initial(each))
    return points, ["prior" if np.isfinite(height).any() else "random"] * starts


# apart from the draws: generators that are fused with what reads their numbers are compiled
# once for every reader
@quickly(static=("structure",))
def _heights(
    model: Model,
    draws: dict[str, Any],
    sample: dict[str, Array],
    factor: Any,
    *,
    structure: Structure,
) -> Array:
    """The log joint density that some rows give every draw."""

    def one(values: Globals) -> Array:
        height = model.pieces(values, structure).log_prior
        height += (factor * row_log_densities(model, structure, values, sample)).sum()
        # a draw that rounding put onto the boundary has no image
        image = structure.space.ravel(structure.space.unconstrain(values))
        return jnp.where(jnp.isfinite(image).all(), height, jnp.nan)

    return jax.lax.map(one, draws)
