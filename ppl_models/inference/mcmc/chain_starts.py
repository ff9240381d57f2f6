"""Where the chains of a sampler start: at EM's mode, moved off it at random."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.inference.capabilities import ROW_DENSITIES, refusal
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.initial.boundary import off_boundary
from ppl_models.inference.problem import Problem
from ppl_models.program.compiling import QUICK
from ppl_models.program.model import Globals
from ppl_models.program.sites import UnconstrainedSpace

SEARCH_ITERATIONS = 300  #: of EM from each start that looks for the mode


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
    em_key, inside_key, move_key = random.split(key, 3)
    inside = structure.initial(inside_key, radius=0.5)
    reported: dict[str, Any] = {}
    notes: list[str] = []
    mode, dispersion_used = inside, 1.0
    if starts > 0 and problem.offers(*ROW_DENSITIES):
        search = em_from_starts(
            problem,
            em_key,
            starts=starts,
            iterations=SEARCH_ITERATIONS,
            tolerance=None,
            priors="program",
            assignments="soft",
            label="em",
        )
        mode = {n: jnp.asarray(v[0, 0]) for n, v in search.values.items()}
        reported, notes, dispersion_used = dict(search.starts), search.notes, dispersion
    elif starts > 0:
        why = refusal("em", problem)
        notes = [f"chains started at random, for EM cannot look for a mode: {why}"]
    initial, points = _disperse(
        mode, inside, move_key, dispersion_used, chains=chains, space=structure.space
    )
    for site in structure.sites:
        reported[f"chain_{site.name}"] = (("chain", *site.dims), np.asarray(points[site.name]))
    return points, initial, reported, notes


@partial(jax.jit, static_argnames=("chains", "space"), compiler_options=QUICK)
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
