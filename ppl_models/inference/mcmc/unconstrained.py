"""The global sites as one unconstrained vector, and the log joint density there."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp
from numpyro.distributions import biject_to

from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure


def constrained(structure: Structure, vector: Array) -> tuple[Globals, Array]:
    """Global sites from an unconstrained vector, and the log volume of the map."""
    blank = {
        s.name: jnp.zeros(biject_to(s.support).inverse_shape(s.shape)) for s in structure.sites
    }
    free = ravel_pytree(blank)[1](vector)
    values, volume = {}, jnp.zeros(())
    for site in structure.sites:
        transform = biject_to(site.support)
        values[site.name] = transform(free[site.name])
        volume += transform.log_abs_det_jacobian(free[site.name], values[site.name]).sum()
    return values, volume


def unconstrained(model: Model, structure: Structure, values: Globals) -> Array:
    """The vector of given global sites."""
    return ravel_pytree(model.unconstrain(values, structure))[0]


def log_joint(model: Model, structure: Structure, vector: Array) -> Array:
    """Log density of the vector and the data, assignments summed out."""
    values, volume = constrained(structure, vector)
    rows = logsumexp(model.logits(values, structure), axis=0).sum()
    return rows + model.pieces(values, structure).log_prior + volume


@partial(jax.jit, static_argnames=("structure",))
def log_joints(model: Model, vectors: Array, *, structure: Structure) -> Array:
    """:func:`log_joint` of many vectors, ``(draw,)``."""
    return jax.lax.map(partial(log_joint, model, structure), vectors)
