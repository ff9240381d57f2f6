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


def student_radius(probability: float, df: np.ndarray) -> np.ndarray:
    """The same of Student's t in the plane, whose squared radius is twice an F(2, df) variable.

    >>> student_radius(0.95, np.array([4.0, 1e9])).round(4)
    array([3.7267, 2.4477])
    """
    return np.sqrt(df * np.expm1(-2.0 / df * np.log1p(-probability)))


def ellipse_curves(
    loc: np.ndarray,
    covariance: np.ndarray,
    probability: float,
    points: int = 72,
    df: np.ndarray | None = None,
) -> np.ndarray:
    """Closed curves that hold `probability` of normals, or of Student's t, in the plane.

    Args:
        loc: centres (..., 2).
        covariance: covariance matrices (..., 2, 2); a singular one gives a flat ellipse.
        probability: the probability inside, in (0, 1).
        points: corners of the curve.
        df: degrees of freedom (...) of Student's t, whose scale matrices the covariances then are.

    Returns:
        Points (..., points, 2); the first starts on the long axis.

    >>> curve = ellipse_curves(np.zeros(2), np.diag([4.0, 1.0]), 0.5)
    >>> np.abs(curve).max(axis=0).round(3)
    array([2.355, 1.177])
    """
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[..., ::-1] * np.sqrt(np.clip(values, 0.0, None))[..., None, ::-1]
    angle = np.linspace(0.0, 2.0 * np.pi, points)
    far = radius(probability) if df is None else student_radius(probability, df)[..., None, None]
    circle = far * np.stack([np.cos(angle), np.sin(angle)])
    return loc[..., None, :] + np.swapaxes(axes @ circle, -1, -2)
