"""Where squares about one centre cancel in single precision, and locations are subtracted first.

Of a row x of a component with location μ and scale σ, ``|x|² - 2 x·μ + |μ|²`` about a centre is
the small difference of numbers ``(|μ - centre| / σ)²`` times as large: of a component that lies
3,000 scales from the centre single precision leaves no digit of it. Differences from the location
itself keep them all, but they are no product of matrices. Which of the two is computed is decided
by the parameters, in every pass anew.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

#: Largest rounding error of a squared, scaled distance that squares about a centre may cause.
ERROR = 1e-4
#: Rounding error of a sum of squares, in units of its last place.
UNITS = 8
#: A scatter so many times its rounding error has few digits: no location within the limit of
#: :func:`apart` has one.
FEW_DIGITS = 1000


@jax.custom_batching.custom_vmap
def _of_all(condition: Array) -> Array:
    return condition


@_of_all.def_vmap
def _(axis_size: int, in_batched: Any, condition: Array) -> tuple[Array, bool]:
    """One decision for all chains or starts: else both branches would be computed for each."""
    return condition.any(0), False


def apart(distance: Array) -> Array | None:
    """Whether some component lies too far from the centre for squares about it; None: none can.

    Args:
        distance: of the locations from the centre in scales, ``(component, ...)``. In double
            precision, and of one component, amid whose rows the centre lies, the answer is None.
    """
    if distance.dtype != jnp.float32 or distance.shape[0] == 1:
        return None
    limit = (ERROR / float(jnp.finfo(distance.dtype).eps)) ** 0.5
    # a scale that is not finite is no reason: nothing helps it
    return _of_all((lax.stop_gradient(jnp.abs(distance)) > limit).any())


def resolved(squares: Array, second: Array) -> Array:
    """Sums of squares about a location, no smaller than their rounding error.

    What an update takes for a scale while its location moved far is then too large, never next to
    nothing, and right in the next pass, which has the new location.

    Args:
        squares: about the location.
        second: about the point that the statistics were taken about.
    """
    if squares.dtype != jnp.float32:
        return jnp.clip(squares, 0)
    return jnp.maximum(squares, _rounding(second))


def resolved_matrix(scatter: Array, second: Array) -> Array:
    """:func:`resolved` of matrices ``(..., feature, feature)``, which stay positive definite.

    Features whose squares have few digits left are taken to be uncorrelated, and of a direction in
    which rows hardly scatter beside their features no less is left than a factorisation needs.
    """
    if scatter.dtype != jnp.float32:
        return scatter
    own, rounding = (jnp.diagonal(m, axis1=-2, axis2=-1) for m in (scatter, _rounding(second)))
    sharp = own > FEW_DIGITS * rounding
    resolved = jnp.where(sharp[..., :, None] & sharp[..., None, :], scatter, 0)
    dimension = own.shape[-1]
    ridge = 1 + 2 * (UNITS + dimension) * float(jnp.finfo(own.dtype).eps)
    own = ridge * (jnp.clip(own, 0) + rounding)  # strongly correlated features need it all
    return jnp.where(jnp.eye(dimension, dtype=bool), own[..., None], resolved)


def _rounding(second: Array) -> Array:
    return UNITS * float(jnp.finfo(second.dtype).eps) * second
