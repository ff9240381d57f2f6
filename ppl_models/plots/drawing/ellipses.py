"""Ellipses of equal density as curves in data coordinates, so that any panel can draw them."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv


def radius(probability: float, dimensions: int = 2) -> float:
    """Mahalanobis radius that holds `probability` of a normal in that many dimensions.

    >>> round(radius(0.95), 4)
    2.4477
    """
    return float(np.sqrt(2.0 * gammaincinv(dimensions / 2.0, probability)))


def ellipse_curves(
    loc: np.ndarray, covariance: np.ndarray, probability: float, points: int = 72
) -> np.ndarray:
    """Closed curves that hold `probability` of normals in the plane.

    Args:
        loc: centres (..., 2).
        covariance: covariance matrices (..., 2, 2); a singular one gives a flat ellipse.
        probability: the probability inside, in (0, 1).
        points: corners of the curve.

    Returns:
        Points (..., points, 2); the first starts on the long axis.

    >>> curve = ellipse_curves(np.zeros(2), np.diag([4.0, 1.0]), 0.5)
    >>> np.abs(curve).max(axis=0).round(3)
    array([2.355, 1.177])
    """
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[..., ::-1] * np.sqrt(np.clip(values, 0.0, None))[..., None, ::-1]
    angle = np.linspace(0.0, 2.0 * np.pi, points)
    circle = radius(probability) * np.stack([np.cos(angle), np.sin(angle)])
    return loc[..., None, :] + np.swapaxes(axes @ circle, -1, -2)
