"""Loadings of factors, rotated alike at all draws, for the tables of a report."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

ROUNDS = 100  #: at most, of the rotation of a draw, and of the alignment of all


def varimax(loadings: np.ndarray) -> np.ndarray:
    """Loadings rotated so that their squares vary most within each factor: Kaiser (1958).

    Args:
        loadings: ``(..., feature, factor)``.

    >>> plain = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> turned = plain @ np.array([[0.8, -0.6], [0.6, 0.8]])
    >>> np.abs(varimax(turned)).round(3).tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]
    """
    factors = loadings.shape[-1]
    if factors == 1:
        return loadings
    rotation = np.broadcast_to(np.eye(factors), (*loadings.shape[:-2], factors, factors))
    turned, size = loadings, np.zeros(loadings.shape[:-2])
    for _ in range(ROUNDS):
        gradient = turned**3 - turned * (turned**2).mean(-2, keepdims=True)
        left, values, right = np.linalg.svd(np.swapaxes(loadings, -1, -2) @ gradient)
        rotation, before, size = left @ right, size, values.sum(-1)
        turned = loadings @ rotation
        if (size <= before * (1 + 1e-8)).all():
            break
    return turned


def aligned(loadings: np.ndarray) -> np.ndarray:
    """Loadings at all draws under one rotation, one order and one sign of the factors.

    Every draw is rotated by varimax; then its columns are permuted and their signs changed to be
    nearest the mean of all draws, until nothing changes. Papastamoulis and Ntzoufras (2022), the
    rotation-sign-permutation (RSP) algorithm. Of the sum over factors q of |s_q λ_q - m_q|² only
    -2 s_q λ_q'm_q depends on the choice, so that each sign is that of λ_q'm_q, and the order is an
    assignment problem.

    Args:
        loadings: ``(draw, feature, factor)``.

    Returns:
        The same, rotated; the first factor has the largest loadings, whose sums are positive.
    """
    turned = varimax(loadings)
    mean = turned[0]
    for _ in range(ROUNDS):
        nearest = np.stack([_nearest(draw, mean) for draw in turned])
        changed, turned, mean = not np.array_equal(nearest, turned), nearest, nearest.mean(0)
        if not changed:
            break
    order = np.argsort(-(mean**2).sum(0), kind="stable")
    sign = np.where(mean.sum(0) < 0, -1.0, 1.0)
    return (turned * sign)[:, :, order]


def _nearest(draw: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Columns of one draw, permuted and signed to be nearest those of the mean."""
    product = mean.T @ draw
    _, order = linear_sum_assignment(-np.abs(product))
    signs = np.where(np.take_along_axis(product, order[:, None], 1)[:, 0] < 0, -1.0, 1.0)
    return draw[:, order] * signs
