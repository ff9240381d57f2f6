"""Hard assignment: EM at temperature 0, every row wholly in its best cluster.

The classification EM of Celeux and Govaert (1992): k-modes for Bernoulli and categorical
mixtures with flat weights; for the spherical mixture's limit see ``kmeans``.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.inference.capabilities import (
    HIDDEN,
    INDEPENDENT_ROWS,
    PATHS_BY_STATISTICS,
    ROW_DENSITIES,
)
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.method import Method
from ppl_models.inference.objective import LOG_JOINT
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.chunks import Chunks, over_chunks
from ppl_models.inference.statistics.e_step import log_joint_and_latents, winners
from ppl_models.program.chains import chain_densities
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure

METHOD = Method(
    "point",
    "hard",
    LOG_JOINT,
    (*ROW_DENSITIES, INDEPENDENT_ROWS, HIDDEN, PATHS_BY_STATISTICS),
    pads_rows=True,
    row_weights="any",
    passes_over_blocks=True,
    keeps_states=True,
    many=True,
    updates=True,
)


def hard(
    problem: Problem,
    key: Array,
    *,
    starts: int = 16,
    iterations: int = 500,
    tolerance: float = 0.0,
    priors: str = "program",
) -> Result:
    """Maximise the joint density of global sites and assignments.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows; the best of many go
            on, as those of ``em`` do.
        iterations: maximum number of iterations per start.
        tolerance: relative gain of the objective below which iterations stop (0: until nothing
            changes).
        priors: "program", or "flat" to leave the priors out.

    Returns:
        One point, the best start's; ``assignment`` are its rows' best clusters.
    """
    result = em_from_starts(
        problem,
        key,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        priors=priors,
        assignments="hard",
        label="hard",
    )
    if problem.structure.assignment is None or problem.blocks is not None:
        return result  # the best state paths at a point are read off it when they are asked for
    values = {n: jnp.asarray(v[0, 0]) for n, v in result.values.items()}
    if problem.sums_rows_up:
        best = _winners(problem.model, values, problem.chunks, structure=problem.structure)
    else:
        best = _best_of_rows(problem.model, values, structure=problem.structure)
    result.assignment = np.asarray(best)[None, None]
    return result


@partial(jax.jit, static_argnames=("structure",))
def _winners(model: Model, values: Globals, chunks: Chunks, *, structure: Structure) -> Array:
    """The best cluster of every row, along the best path of states where it hides one."""
    pieces = model.pieces(values, structure)
    families = pieces.families()

    def of_chunk(
        arrays: dict[str, Array], present: Array, scales: dict[str, Array]
    ) -> tuple[tuple[()], Array]:
        logits, _ = log_joint_and_latents(pieces, families, arrays, chunks, "best", scales)
        return (), winners(jnp.broadcast_to(logits, (structure.clusters, logits.shape[1])))[1]

    return chunks.in_order(over_chunks(of_chunk, chunks)[1])


@partial(jax.jit, static_argnames=("structure",))
def _best_of_rows(model: Model, values: Globals, *, structure: Structure) -> Array:
    """The best cluster of every row, where no statistics sum the rows up; a chain's best path."""
    if structure.chain is not None:
        return chain_densities.best_states(model, values, structure)
    return winners(model.logits(values, structure))[1]
