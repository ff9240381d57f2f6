"""Where stochastic gradients start: at seeds spread over the rows, or at a draw of the prior."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions import biject_to

from ..errors import UnsupportedError
from .compiling import QUICK
from .problem import Problem
from .program import Globals, Model
from .starts import starting_values
from .stochastic import row_densities
from .structure import Structure
from .updates import conjugate_sites

TRIES = 8  #: draws of the prior, of which the best is the start
SAMPLE = 500  #: rows that they are judged by


def origins(problem: Problem, key: Array, starts: int) -> tuple[list[Globals], list[str]]:
    """Values of the global sites at several starts, and what kind of start each is.

    Where rows are assigned and statistics sum them up, EM's: clusters that a start by chance
    leaves empty are found by no gradient. Else the best of a few draws of the prior.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts.
    """
    model, structure = problem.model, problem.structure
    if structure.assignment is not None:
        try:
            problem.need_statistics("map")
            wires, free = conjugate_sites(model, structure, problem.wiring, problem.chunks)
            values, kinds = starting_values(problem, wires, free, key, starts, flat=False)
            return [{n: v[i] for n, v in values.items()} for i in range(starts)], kinds
        except UnsupportedError:
            pass
    chosen = np.sort(np.random.default_rng(0).permutation(structure.rows)[:SAMPLE])
    sample = {n: jnp.asarray(np.asarray(v)[chosen]) for n, v in model.data.items()}
    share = structure.rows / len(chosen)
    found = []
    for each in random.split(key, starts):
        keys = random.split(each, TRIES)
        try:
            values, height = _prior_draws(model, keys, sample, share, structure=structure)
        except NotImplementedError:  # a prior that cannot be drawn from
            values, height = {}, np.full(1, np.nan)
        if np.isfinite(height).any():
            best = int(np.nanargmax(np.where(np.isfinite(height), height, np.nan)))
            found.append({n: v[best] for n, v in values.items()})
        else:
            found.append(structure.initial(each))
    return found, ["prior" if np.isfinite(height).any() else "random"] * starts


@partial(jax.jit, static_argnames=("structure",), compiler_options=QUICK)
def _prior_draws(
    model: Model, keys: Array, sample: dict[str, Array], share: float, *, structure: Structure
) -> tuple[Globals, Array]:
    """Draws of the prior ``(try, ...)`` and the log joint density that some rows give them."""

    def one(key: Array) -> tuple[Globals, Array]:
        # (the data stay observed: how to draw them would be compiled for nothing)
        program = handlers.substitute(model.run, data=model.fixed)
        trace = handlers.trace(handlers.seed(program, key)).get_trace()
        values = {n: trace[n]["value"] for n in structure.names}
        prior = sum(trace[n]["fn"].log_prob(values[n]).sum() for n in structure.names)
        height = prior + share * row_densities(model, structure, values, sample).sum()
        for site in structure.sites:  # a draw that rounding put onto the boundary has no image
            image = biject_to(site.support).inv(values[site.name])
            height = jnp.where(jnp.isfinite(image).all(), height, jnp.nan)
        return values, height

    return jax.lax.map(one, keys)
