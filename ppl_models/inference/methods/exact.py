"""The posterior in closed form, drawn directly: conjugate programs in which nothing is hidden."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax import Array, random

from ...errors import InputError, UnsupportedError
from ..compiling import QUICK
from ..problem import Problem, Result
from ..program import Globals, Model, Structure, random_values
from ..statistics import Chunks, sweep
from ..updates import conditional, conjugate_sites


def check(problem: Problem) -> None:
    """Nothing may be hidden, no cell missing, and every site conjugate given the data alone."""
    problem.need_statistics("exact")
    structure = problem.structure
    if structure.assignment is not None:
        raise UnsupportedError(
            f"site '{structure.assignment}' is hidden, so that there is no closed form: "
            "use method='gibbs', 'nuts' or 'em'"
        )
    if problem.latent:
        raise UnsupportedError(
            f"site '{structure.emissions[0]}' hides a path of states, so that there is no closed "
            "form: use method='gibbs', 'nuts' or 'em'"
        )
    gaps = [
        n for n, missing in problem.chunks.missing if missing and not problem.families[n].factorises
    ]
    if gaps:
        raise UnsupportedError(
            f"site '{gaps[0]}' has missing cells that its family cannot leave out, so that there "
            "is no closed form: use method='nuts'"
        )
    wires, free = conjugate_sites(problem.model, structure, problem.wiring, problem.chunks)
    if free:
        raise UnsupportedError(f"the prior of site '{free[0]}' is not conjugate: use method='nuts'")
    one, other = (_posteriors(problem, wires, seed) for seed in (1, 2))
    for wire, a, b in zip(wires, one, other, strict=True):
        same = jax.tree.map(lambda x, y: bool(np.allclose(x, y)), a, b)
        if not all(jax.tree.leaves(same)):
            raise UnsupportedError(
                f"the posterior of site '{wire.site}' depends on other sites, so that there is "
                "no closed form of all: use method='nuts'"
            )


def exact(problem: Problem, key: Array, *, chains: int = 4, draws: int = 1000) -> Result:
    """Draw every global site from its posterior.

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains (independent, as all draws are).
        draws: draws a chain.

    Returns:
        Independent draws.

    Raises:
        InputError: options out of range.
        UnsupportedError: the posterior has no closed form.
    """
    if min(chains, draws) < 1:
        raise InputError(f"chains ({chains}) and draws ({draws}) must be at least 1")
    wires, _ = conjugate_sites(problem.model, problem.structure, problem.wiring, problem.chunks)
    posteriors = _posteriors(problem, wires, 1)
    keys = random.split(key, (len(wires), chains * draws))
    values = {}
    for wire, posterior, k in zip(wires, posteriors, keys, strict=True):
        drawn = jax.jit(partial(jax.lax.map, posterior.sample, batch_size=100))(k)
        values[wire.site] = np.asarray(drawn).reshape(chains, draws, *drawn.shape[1:])
    return Result(values, "draws", {})


def _posteriors(problem: Problem, wires: tuple, seed: int) -> list:
    model, structure = problem.model, problem.structure
    values = random_values(model, random.key(seed), structure=structure)
    return _conditionals(model, values, problem.chunks, structure=structure, wires=wires)


@partial(jax.jit, static_argnames=("structure", "wires"), compiler_options=QUICK)
def _conditionals(
    model: Model, values: Globals, chunks: Chunks, *, structure: Structure, wires: tuple
) -> list:
    pieces = model.pieces(values, structure)
    swept = sweep(pieces, structure, chunks)
    return [conditional(w, pieces, structure, swept, chunks, values, flat=False) for w in wires]
