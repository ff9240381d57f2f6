"""Values on the boundary of their support, where the unconstrained space has no point."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ppl_models.program.trace.sites import Site, is_real

EXTREME = 12.0  #: an unconstrained coordinate beyond this is at a boundary, where nothing moves
INWARD = 5e-3  #: share by which a mode on a boundary is moved towards the inside


def off_boundary(site: Site, value: Array, inside: Array) -> Array:
    """The unconstrained image of a value, moved off the boundary of its (convex) support.

    Args:
        site: a global site.
        value: of it.
        inside: another value, within the support.
    """
    image = site.transform.inv(value)
    if is_real(site.support):
        return image
    moved = site.transform.inv((1 - INWARD) * value + INWARD * inside)
    return jnp.where((jnp.abs(image) < EXTREME).all(), image, moved)
