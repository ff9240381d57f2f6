"""Where stochastic gradients start: at seeds spread over the rows, or at a draw of the prior."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.inference.capabilities import ASSIGNMENT, STATISTICS
from ppl_models.inference.gradient.steps import row_log_densities
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.compiling import QUICK
from ppl_models.program.model import Globals, Model
from ppl_models.program.prior_draws import draw_prior
from ppl_models.program.structure import Structure

TRIES = 8  #: draws of the prior, of which the best is the start
SAMPLE = 500  #: rows that they are judged by


def gradient_starts(problem: Problem, key: Array, starts: int) -> tuple[list[Globals], list[str]]:
    """Values of the global sites at several starts, and what kind of start each is.

    Where rows are assigned and statistics sum them up, EM's: clusters that a start by chance
    leaves empty are found by no gradient. Else the best of a few draws of the prior.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts.
    """
    model, structure = problem.model, problem.structure
    if problem.offers(ASSIGNMENT, *STATISTICS):
        links, free = conjugate_sites(model, structure, problem.parameter_map, problem.chunks)
        values, kinds = starting_values(problem, links, free, key, starts, flat=False)
        return [{n: v[i] for n, v in values.items()} for i in range(starts)], kinds
    chosen = np.sort(np.random.default_rng(0).permutation(structure.rows)[:SAMPLE])
    sample = {n: jnp.asarray(np.asarray(v)[chosen]) for n, v in model.data.items()}
    share = structure.rows / len(chosen)
    found = []
    for each in random.split(key, starts):
        keys = random.split(each, TRIES)
        try:
            drawn = draw_prior(model, keys, structure.names)
            height = np.asarray(_heights(model, drawn, sample, share, structure=structure))
        except NotImplementedError:  # a prior that cannot be drawn from
            drawn, height = {}, np.full(1, np.nan)
        if np.isfinite(height).any():
            best = int(np.nanargmax(np.where(np.isfinite(height), height, np.nan)))
            found.append({n: jnp.asarray(v[best]) for n, v in drawn.items()})
        else:
            found.append(structure.initial(each))
    return found, ["prior" if np.isfinite(height).any() else "random"] * starts


# apart from the draws: generators that are fused with what reads their numbers are compiled
# once for every reader
@partial(jax.jit, static_argnames=("structure",), compiler_options=QUICK)
def _heights(
    model: Model,
    draws: dict[str, Any],
    sample: dict[str, Array],
    share: float,
    *,
    structure: Structure,
) -> Array:
    """The log joint density that some rows give every draw."""

    def one(values: Globals) -> Array:
        height = model.pieces(values, structure).log_prior
        height += share * row_log_densities(model, structure, values, sample).sum()
        # a draw that rounding put onto the boundary has no image
        image = structure.space.ravel(structure.space.unconstrain(values))
        return jnp.where(jnp.isfinite(image).all(), height, jnp.nan)

    return jax.lax.map(one, draws)
