"""Where the chains of a sampler start: at EM's mode, moved off it at random."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import ROW_DENSITIES, refusal
from ppl_models.inference.em.driver import NO_DENSITY, em_with_density
from ppl_models.inference.initial.boundary import off_boundary
from ppl_models.inference.initial.finite import finite_starts, may_lack_density
from ppl_models.inference.modes.unbounded import unbounded_sites
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals
from ppl_models.program.prior_draws import draw_prior, has_draws
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import split_apart
from ppl_models.program.trace.sites import UnconstrainedSpace

SEARCH_ITERATIONS = 300  #: of EM from each start that looks for the mode
PRIOR_DRAWS = 64  #: draws of the prior among which a start is looked for where EM finds none


def dispersed_starts(
    problem: Problem, key: Array, chains: int, starts: int, dispersion: float
) -> tuple[Globals, Globals, dict[str, Any], list[str]]:
    """One start a chain.

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains.
        starts: starts of EM that look for the mode; 0 starts uniformly at random.
        dispersion: standard deviation of the starts about the mode, in the unconstrained space.

    Returns:
        Values ``(chain, ...)``, the same unconstrained, a report of every start, and notes.
    """
    structure = problem.structure
    em_key, inside_key, move_key = split_apart(key, 3)
    inside = structure.initial(inside_key, radius=0.5)
    reported: dict[str, Any] = {}
    notes: list[str] = []
    mode, dispersion_used = inside, 1.0
    search = None
    if starts > 0 and problem.offers(*ROW_DENSITIES):
        search = em_with_density(problem, em_key, starts=starts, iterations=SEARCH_ITERATIONS)
        if search is None:
            if not may_lack_density(problem):
                raise InputError(NO_DENSITY)
            mode, dispersion_used = _draw_with_density(problem, em_key), dispersion
            notes = ["chains started at a draw of the prior, for no start of EM had a density"]
    if search is not None:
        mode = jax.device_put({n: v[0, 0] for n, v in search.values.items()})
        reported, notes, dispersion_used = dict(search.starts), search.notes, dispersion
        if search.starts["collapsed"][1].all() and unbounded_sites(problem, mode):
            notes = []  # without a mode there are draws all the same
    elif starts > 0 and not notes:
        why = refusal("em", problem)
        notes = [f"chains started at random, for EM cannot look for a mode: {why}"]
    initial, points = _disperse(
        mode, inside, move_key, dispersion_used, chains=chains, space=structure.space
    )
    if may_lack_density(problem):  # off the mode there may be none: the last is the mode itself
        itself = _disperse(mode, inside, move_key, 0.0, chains=1, space=structure.space)
        both = zip((initial, points), itself, strict=True)
        initial, points = ({n: jnp.concatenate([v, m[n]]) for n, v in e.items()} for e, m in both)
        finite = finite_starts(problem, points)
        place = np.where(finite[:chains], np.arange(chains), np.flatnonzero(finite)[0])
        initial, points = ({n: v[place] for n, v in each.items()} for each in (initial, points))
    for site in structure.sites:
        reported[f"chain_{site.name}"] = (("chain", *site.dims), np.asarray(points[site.name]))
    return points, initial, reported, notes


def _draw_with_density(problem: Problem, key: Array) -> Globals:
    """One of many draws of the prior under which all rows have a density.

    Raises:
        InputError: none of them.
    """
    structure = problem.structure
    if has_draws([*problem.example.priors.values()]):
        drawn = draw_prior(problem.model, random.split(key, PRIOR_DRAWS), structure.names)
    else:
        near = [structure.initial(k, radius=3.0) for k in random.split(key, PRIOR_DRAWS)]
        drawn = jax.tree.map(lambda *v: np.stack(v), *near)
    first = int(finite_starts(problem, drawn).argmax())
    return {n: jnp.asarray(v[first]) for n, v in drawn.items()}


@quickly(static=("chains", "space"))
def _disperse(
    mode: Globals,
    inside: Globals,
    key: Array,
    dispersion: Any,
    *,
    chains: int,
    space: UnconstrainedSpace,
) -> tuple[Globals, Globals]:
    """Starts about the mode, unconstrained and as they are."""
    free = {s.name: off_boundary(s, mode[s.name], inside[s.name]) for s in space.sites}
    keys = random.split(key, max(len(free), 1))
    initial = {
        n: v + dispersion * random.normal(k, (chains, *v.shape), v.dtype)
        for k, (n, v) in zip(keys, free.items(), strict=False)
    }
    return initial, jax.vmap(space.constrain)(initial)
