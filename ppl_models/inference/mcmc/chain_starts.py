"""Where the chains of a sampler start: at EM's mode, moved off it at random."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import IdentityTransform

from ppl_models.inference.capabilities import STATISTICS, refusal
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.problem import Problem
from ppl_models.program.compiling import QUICK
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure

SEARCH_ITERATIONS = 300  #: of EM from each start that looks for the mode
EXTREME = 12.0  #: an unconstrained coordinate beyond this is at a boundary, where nothing moves
INWARD = 5e-3  #: share by which a mode on a boundary is moved towards the inside


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
    model, structure = problem.model, problem.structure
    em_key, inside_key, move_key = random.split(key, 3)
    inside = structure.initial(inside_key, radius=0.5)
    reported: dict[str, Any] = {}
    notes: list[str] = []
    mode, dispersion_used = inside, 1.0
    if starts > 0 and problem.offers(*STATISTICS):
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
        why = refusal("em", problem, STATISTICS)
        notes = [f"chains started at random, for EM cannot look for a mode: {why}"]
    initial, points = _move(
        model, mode, inside, move_key, dispersion_used, chains=chains, structure=structure
    )
    for site in structure.sites:
        dims = tuple("cluster" if d == "cluster" else d for d in site.dims)
        reported[f"chain_{site.name}"] = (("chain", *dims), np.asarray(points[site.name]))
    return points, initial, reported, notes


@partial(jax.jit, static_argnames=("chains", "structure"), compiler_options=QUICK)
def _move(
    model: Model,
    mode: Globals,
    inside: Globals,
    key: Array,
    dispersion: Any,
    *,
    chains: int,
    structure: Structure,
) -> tuple[Globals, Globals]:
    """Starts about the mode, unconstrained and as they are."""
    free = {s.name: _inside(mode[s.name], inside[s.name], s.support) for s in structure.sites}
    keys = random.split(key, max(len(free), 1))
    initial = {
        n: v + dispersion * random.normal(k, (chains, *v.shape), v.dtype)
        for k, (n, v) in zip(keys, free.items(), strict=False)
    }
    return initial, jax.vmap(lambda u: model.constrain(u, structure))(initial)


def _inside(value: Array, inside: Array, support: Any) -> Array:
    """The unconstrained image of a value, off the boundary of its (convex) support."""
    transform = biject_to(support)
    image = transform.inv(value)
    if isinstance(transform, IdentityTransform):
        return image
    moved = transform.inv((1 - INWARD) * value + INWARD * inside)
    return jnp.where((jnp.abs(image) < EXTREME).all(), image, moved)
