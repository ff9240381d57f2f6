"""Data simulated from known clusters.

Each function returns the data and the cluster that each row really comes from, in random
order of rows and with fixed parameters, so that only the seed and the size vary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ppl_models.errors import InputError, whole_number

Drawn = tuple[pd.DataFrame, np.ndarray]


def gaussian_clusters(
    seed: int, rows: int, *, weights: ArrayLike, loc: ArrayLike, covariance: ArrayLike
) -> Drawn:
    """Rows from a Gaussian mixture with known parameters.

    Args:
        seed: of the random numbers.
        rows: how many rows, N.
        weights: (cluster,), in any unit.
        loc: centres (cluster, feature).
        covariance: (cluster, feature, feature).

    Returns:
        A frame (row, feature) with columns "x1", "x2", ..., and the true clusters (row,).

    Raises:
        InputError: no rows, weights that cannot be used, or shapes that do not fit.

    Example:
        >>> x, cluster = gaussian_clusters(
        ...     0, 5, weights=[1, 1], loc=[[0.0], [9.0]], covariance=[[[1.0]], [[1.0]]]
        ... )
        >>> x.shape, bool(((x["x1"] > 4.5) == cluster).all())
        ((5, 1), True)
    """
    generator, cluster = _assignments(seed, rows, weights)
    centre, spread = np.asarray(loc, dtype=float), np.asarray(covariance, dtype=float)
    clusters = np.size(weights)
    wanted = (clusters, *centre.shape[1:], *centre.shape[1:])
    if centre.ndim != 2 or len(centre) != clusters or spread.shape != wanted:
        raise InputError(
            f"{clusters} weights, centres {centre.shape} and covariances {spread.shape} do not "
            "fit: give (cluster, feature) and (cluster, feature, feature)"
        )
    noise = generator.standard_normal((rows, centre.shape[1]))
    x = centre[cluster] + np.einsum("nij,nj->ni", np.linalg.cholesky(spread)[cluster], noise)
    return pd.DataFrame(x, columns=[f"x{d + 1}" for d in range(centre.shape[1])]), cluster


def blobs(
    seed: int, rows: int = 600, *, clusters: int = 4, features: int = 2, separation: float = 8.0
) -> Drawn:
    """Round clusters of unit scale and equal size on a circle: the case that k-means is made for.

    Args:
        seed: of the random numbers.
        rows: how many rows.
        clusters: how many clusters.
        features: at least two; the centres lie in the plane of the first two.
        separation: distance of neighbouring centres, in standard deviations.

    Raises:
        InputError: fewer than two features, no clusters or no rows.

    Example:
        >>> x, cluster = blobs(seed=0, rows=100)
        >>> x.shape, cluster.shape
        ((100, 2), (100,))
    """
    if features < 2 or clusters < 1:
        raise InputError(f"{clusters} clusters in {features} features: give 1 or more in 2 or more")
    radius = 0.0 if clusters == 1 else separation / (2 * np.sin(np.pi / clusters))
    angle = 2 * np.pi * np.arange(clusters) / clusters
    loc = np.zeros((clusters, features))
    loc[:, :2] = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    covariance = np.broadcast_to(np.eye(features), (clusters, features, features))
    return gaussian_clusters(seed, rows, weights=np.ones(clusters), loc=loc, covariance=covariance)


def overlapping(seed: int, rows: int = 600) -> Drawn:
    """A dense cluster inside a wide one, and a third that overlaps both.

    Centres are too near for any boundary half-way between them to part the rows.

    Example:
        >>> overlapping(seed=0)[0].shape
        (600, 2)
    """
    return gaussian_clusters(
        seed,
        rows,
        weights=[0.4, 0.35, 0.25],
        loc=[[0.0, 0.0], [0.5, 0.5], [4.0, 0.0]],
        covariance=[9.0 * np.eye(2), 0.25 * np.eye(2), np.array([[1.0, 0.6], [0.6, 1.0]])],
    )


def unequal(seed: int, rows: int = 600) -> Drawn:
    """A wide cluster beside two tight ones, to which k-means assigns rows of the wide one.

    Example:
        >>> np.bincount(unequal(seed=0)[1]).argmax()
        np.int64(0)
    """
    return gaussian_clusters(
        seed,
        rows,
        weights=[0.7, 0.15, 0.15],
        loc=[[0.0, 0.0], [7.0, 4.0], [7.0, -4.0]],
        covariance=[6.25 * np.eye(2), 0.16 * np.eye(2), 0.16 * np.eye(2)],
    )


def oddly_shaped(seed: int, rows: int = 600) -> Drawn:
    """Three long ellipses, two side by side and one across, far longer than they are apart.

    Example:
        >>> sorted(set(oddly_shaped(seed=0)[1].tolist()))
        [0, 1, 2]
    """
    return gaussian_clusters(
        seed,
        rows,
        weights=[1, 1, 1],
        loc=[[0.0, 0.0], [3.0, -3.0], [8.0, 4.0]],
        covariance=[_ellipse(45, 3.0, 0.4), _ellipse(45, 3.0, 0.4), _ellipse(-45, 3.0, 0.4)],
    )


def _ellipse(degrees: float, long: float, short: float) -> np.ndarray:
    """Covariance of an ellipse with given standard deviations, its long axis turned."""
    angle = np.deg2rad(degrees)
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return axes @ np.diag([long**2, short**2]) @ axes.T


def latent_classes(
    seed: int, rows: int, *, weights: ArrayLike, probs: Sequence[ArrayLike]
) -> Drawn:
    """Answers to items that are independent within hidden classes.

    Args:
        seed: of the random numbers.
        rows: how many rows.
        weights: (class,), in any unit.
        probs: an array (class, level) for each item; every one of two levels makes bits.

    Returns:
        A frame of codes from 0 (row, item), columns "item_1", ..., and the true classes (row,).

    Raises:
        InputError: no rows, or probabilities that do not add up to one within a class.

    Example:
        >>> sure = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> x, hidden = latent_classes(0, 10, weights=[1, 1], probs=[sure, sure])
        >>> bool((x["item_1"] == hidden).all() and (x["item_2"] == hidden).all())
        True
    """
    generator, hidden = _assignments(seed, rows, weights)
    columns = {}
    for item, levels in enumerate(probs, start=1):
        table = np.asarray(levels, dtype=float)
        if table.ndim != 2 or len(table) != np.size(weights):
            raise InputError(
                f"item {item} has probabilities of shape {table.shape}: give (class, level)"
            )
        if (table < 0).any() or not np.allclose(table.sum(axis=1), 1):
            raise InputError(f"the probabilities of item {item} do not add up to one: scale them")
        # The last sum is left out: rounding may keep it just below one.
        uniform = generator.random(rows)[:, None]
        columns[f"item_{item}"] = (uniform >= table.cumsum(axis=1)[hidden, :-1]).sum(axis=1)
    return pd.DataFrame(columns), hidden


def _assignments(
    seed: int, rows: int, weights: ArrayLike
) -> tuple[np.random.Generator, np.ndarray]:
    shares = np.asarray(weights, dtype=float)
    whole_number("rows", rows)
    whole_number("seed", seed, minimum=0)
    if shares.ndim != 1 or shares.size == 0 or not (shares >= 0).all() or shares.sum() <= 0:
        raise InputError(f"the weights {shares} cannot be used: give one number from 0 a cluster")
    generator = np.random.default_rng(seed)
    return generator, generator.choice(len(shares), size=rows, p=shares / shares.sum())
