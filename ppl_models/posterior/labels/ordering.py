"""Relabelling by order: components are numbered by one of their variables, draw by draw.

The simplest way and the poorest: right only when that variable alone tells all components apart
(Stephens 2000, section 3; Jasra, Holmes and Stephens 2005). Hence the measure of overlap.
"""

from __future__ import annotations

import numpy as np

from ppl_models.errors import InputError
from ppl_models.posterior.labels.permutations import permute


def by_order(values: np.ndarray) -> np.ndarray:
    """Permutations ``(draw, cluster)`` that put ``values (draw, cluster)`` in ascending order.

    Raises:
        InputError: when a value is not a number.

    Example:
        >>> by_order(np.array([[3.0, 1.0, 2.0]]))
        array([[1, 2, 0]])
    """
    if values.ndim != 2:
        raise InputError(
            f"Ordering needs one number a component, values (draw, cluster), but they have shape "
            f"{values.shape}: choose one feature."
        )
    missing = np.isnan(values).any(axis=1)
    if missing.any():
        raise InputError(
            f"Draw {int(missing.argmax())} of the ordering variable holds NaN: drop that draw or "
            "order by another variable."
        )
    return np.argsort(values, axis=1, kind="stable")


def gaps(values: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """The smallest gap ``(draw)`` between neighbours, in their posterior standard deviations.

    The standard deviation is that of the two ordered components, pooled. Infinite with one
    cluster, or where neither component varies.

    Example:
        >>> values = np.array([[0.0, 4.0], [2.0, 6.0]])
        >>> gaps(values, by_order(values))
        array([4., 4.])
    """
    ordered = permute(values, permutation)
    if ordered.shape[1] < 2:
        return np.full(len(ordered), np.inf)
    variance = ordered.var(axis=0)
    pooled = np.sqrt((variance[1:] + variance[:-1]) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.diff(ordered, axis=1) / pooled
    return np.where(pooled > 0, relative, np.inf).min(axis=1)
