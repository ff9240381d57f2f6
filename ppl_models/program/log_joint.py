"""The log joint density of a program's global sites and data, assignments summed out."""

from __future__ import annotations

from functools import partial

import jax
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure


def log_joint(model: Model, structure: Structure, values: Globals) -> Array:
    """Log joint density at values of the global sites."""
    rows = model.summed(logsumexp(model.logits(values, structure), axis=0))
    return rows + model.pieces(values, structure).log_prior


def unconstrained_log_joint(model: Model, structure: Structure, vector: Array) -> Array:
    """Log joint density in the free coordinates, see ``sites.UnconstrainedSpace``."""
    values, log_volume = structure.space.constrain_with_volume(structure.space.unravel(vector))
    return log_joint(model, structure, values) + log_volume


@partial(jax.jit, static_argnames=("structure",))
def unconstrained_log_joints(model: Model, vectors: Array, *, structure: Structure) -> Array:
    """:func:`unconstrained_log_joint` of many vectors, ``(draw,)``."""
    return jax.lax.map(partial(unconstrained_log_joint, model, structure), vectors)
