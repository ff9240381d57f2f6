"""Which runs of EM stand at an optimum, and not only still.

An iteration gains little at an optimum, but also on a plateau, and where an M-step without closed
form finds no way up. At an optimum no step promises anything either.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.em.polish import NATS
from ppl_models.inference.newton import LARGEST
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Assign, e_step
from ppl_models.inference.statistics.m_step import left_to_gain
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure


def stands(
    problem: Problem, runs: EMRuns, free: tuple[str, ...], assign: Assign, *, flat: bool
) -> np.ndarray:
    """Whether the next M-step promises next to nothing, ``(start,)``.

    Args:
        problem: program and data, of which sufficient statistics sum up the rows.
        runs: of EM.
        free: the sites without a closed form; true where there are none, or too many to tell.
        assign: soft or hard assignment.
        flat: whether the priors are left out.
    """
    space = problem.structure.space.of(free)
    values = {n: jnp.asarray(v) for n, v in runs.values.items()}
    sizes = sum(int(np.prod(site.unconstrained_shape)) for site in space.sites)
    if not 0 < sizes <= LARGEST:
        return np.ones(len(runs.iterations), bool)
    left = _left(
        problem.model, problem.chunks, values,
        structure=problem.structure, free=free, assign=assign, flat=flat,
    )  # fmt: skip
    return ~(np.asarray(left) > NATS)


@partial(jax.jit, static_argnames=("structure", "free", "assign", "flat"))
def _left(
    model: Model,
    chunks: Chunks,
    values: Globals,
    *,
    structure: Structure,
    free: tuple[str, ...],
    assign: Assign,
    flat: bool,
) -> Array:
    def one(values: Globals) -> Array:
        expected = e_step(model.pieces(values, structure), structure, chunks, assign)
        return left_to_gain(model, structure, free, values, expected, chunks, flat=flat)

    return lax.map(one, values)
