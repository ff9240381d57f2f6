"""The credible ball of a point partition and its bounds (Wade and Ghahramani 2018).

Wade, S. and Ghahramani, Z. (2018), Bayesian cluster analysis: point estimation and credible balls,
Bayesian Analysis 13, 559-626, section 4. The ball holds the draws within the smallest radius that
covers the wanted probability. Its vertical bounds are the draws in it with the fewest and the most
clusters, its horizontal bound is the farthest draw; where several qualify, the farthest is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_models.errors import InputError
from ppl_models.posterior.partition.losses import by_size, compact, distances


@dataclass(frozen=True)
class CredibleBall:
    """Result of :func:`credible_ball`; partitions are ``(row)``, 0 for the largest cluster.

    Attributes:
        radius: in units of the loss.
        probability: the share of draws in the ball, at least the one asked for.
        distances: ``(draw)``, of every draw from the centre.
        fewest: the vertical upper bound, a draw with the fewest clusters.
        most: the vertical lower bound, a draw with the most clusters.
        farthest: the horizontal bound.
    """

    radius: float
    probability: float
    distances: np.ndarray
    fewest: np.ndarray
    most: np.ndarray
    farthest: np.ndarray


def credible_ball(
    partition: np.ndarray,
    assignments: np.ndarray,
    *,
    loss: str = "vi",
    probability: float = 0.95,
) -> CredibleBall:
    """The credible ball of a partition ``(row)`` among draws ``(draw, row)``.

    Raises:
        InputError: for an unknown loss, unequal numbers of rows, or a probability outside (0, 1].

    Example:
        >>> draws = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2, 3]])
        >>> ball = credible_ball(np.array([0, 0, 1, 1]), draws, probability=1)
        >>> ball.radius, ball.fewest.tolist(), ball.most.tolist()
        (1.0, [0, 0, 0, 0], [0, 1, 2, 3])
    """
    if not 0 < probability <= 1:
        raise InputError(f"The probability of a ball is {probability}: choose one in (0, 1].")
    away = distances(partition, assignments, loss=loss)
    needed = int(np.ceil(probability * len(away) - 1e-9))
    radius = float(np.sort(away)[needed - 1])
    inside = np.flatnonzero(away <= radius + 1e-12)
    clusters = compact(assignments[inside]).max(axis=1) + 1

    def shown(chosen: np.ndarray) -> np.ndarray:
        return by_size(assignments[chosen[np.argmax(away[chosen])]])

    return CredibleBall(
        radius=radius,
        probability=len(inside) / len(away),
        distances=away,
        fewest=shown(inside[clusters == clusters.min()]),
        most=shown(inside[clusters == clusters.max()]),
        farthest=shown(inside),
    )
