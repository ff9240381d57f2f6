"""Rows whose probability is exactly zero under a cluster.

Densities on which inference runs take the logarithm of the smallest number for that of zero (see
``distributions.log_of_zero``). What a user is told is ``-inf``.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from ppl_models.data.missing import has_missing
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.hmm.general_emission import LOWEST
from ppl_models.program.densities.units import impossible_cells
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure


def with_impossible(
    logits: Array, model: Model, values: Globals, structure: Structure
) -> tuple[Array, Array]:
    """Log-densities with ``-inf`` where the probability is zero, and which of them these are.

    Args:
        logits: ``log p(z = k, x_n)``, ``(draw, cluster, row)``.
        model: the program and the rows.
        values: of the global sites, ``(draw, ...)``.
        structure: of the program.

    Returns:
        Both ``(draw, cluster, row)``.
    """
    if structure.chain is not None:  # whose factors have a lowest value
        return jnp.where(logits < LOWEST / 2, -jnp.inf, logits), logits < LOWEST / 2
    missing = tuple(sorted(n for n, v in model.data.items() if has_missing(v)))
    never = _impossible(model, values, structure=structure, missing=missing)
    return jnp.where(never, -jnp.inf, logits), never


@partial(jax.jit, static_argnames=("structure", "missing"))
def _impossible(
    model: Model, values: Globals, *, structure: Structure, missing: tuple[str, ...]
) -> Array:
    def one(held: Globals) -> Array:
        pieces = model.pieces(held, structure)
        never = jnp.zeros((structure.clusters, structure.rows), bool)
        if pieces.log_weights is not None:
            lowest = jnp.log(jnp.finfo(pieces.log_weights.dtype).tiny)
            counted = pieces.scales.get(str(structure.assignment), 1.0) != 0
            never |= (pieces.log_weights < lowest + 1) & counted
        if structure.indexed:
            never |= impossible_cells(model, held, structure)
        for name, emission in pieces.emissions.items():
            if name in structure.indexed:
                continue
            family = as_family(emission)
            if family is None or (family.batch_shape and family.batch_shape[-1] != 1):
                continue  # its own log-densities are not clipped
            family, value, gaps = family.components(), model.data[name], name in missing
            centre = family.centre(value)
            prepared = family.prepare(value, missing=gaps, centre=centre)
            impossible = family.impossible(prepared, missing=gaps, centre=centre)
            never |= (
                False if impossible is None else impossible & (pieces.scales.get(name, 1.0) != 0)
            )
        return never

    return jax.lax.map(one, values) if values else one({})[None]
