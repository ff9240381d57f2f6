"""Stephens' relabelling: minimise the Kullback-Leibler divergence from the mean classification.

Stephens, M. (2000), Dealing with label switching in mixture models, Journal of the Royal
Statistical Society B 62, 795-809, section 4. Minimises over permutations and over a matrix
``q (row, cluster)`` of probabilities

    sum_d sum_n sum_k  p[d, n, perm_d(k)] log(p[d, n, perm_d(k)] / q[n, k])

by turns: q is the mean of the relabelled responsibilities, and each draw's permutation is an
optimal assignment whose costs are one matrix product, ``-(log q)^T p``. Neither step can raise
the objective. Both happen in one pass over the draws, which are given in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ppl_models.errors import InputError
from ppl_models.posterior.labels.permutations import (
    best_permutations,
    permute,
    total_cost,
    within_classes,
)

#: Passes over the draws, at most.
PASSES = 100
#: An improvement smaller than this, relative, ends the passes.
TOLERANCE = 1e-9
#: Probabilities below this count as this in logarithms.
SMALLEST = 1e-30
#: The share of the uniform distribution in the first q, which is one draw's and may hold zeros.
SMOOTHING = 0.01


@dataclass(frozen=True)
class Stephens:
    """Result of :func:`stephens`.

    Attributes:
        permutation: ``(draw, cluster)``.
        cost: ``(draw, cluster, cluster)``, of the last pass: the Kullback-Leibler divergence in
            nats, up to a constant a draw, of making old ``k`` the new ``j`` at ``[draw, j, k]``.
        objective: the Kullback-Leibler objective in nats after every pass; it never rises.
        mean: q, ``(row, cluster)``.
    """

    permutation: np.ndarray
    cost: np.ndarray
    objective: np.ndarray
    mean: np.ndarray


def stephens(
    blocks: Iterable[np.ndarray],
    *,
    reference: np.ndarray | None = None,
    passes: int = PASSES,
    classes: np.ndarray | None = None,
) -> Stephens:
    """Relabel draws by their responsibilities.

    Args:
        blocks: a re-iterable (a list, or an object whose ``__iter__`` starts anew; not a
            generator) of responsibilities ``(draw, row, cluster)``, some draws at a time.
        reference: the first q, ``(row, cluster)``; default: the first draw's responsibilities,
            slightly smoothed. A start from the draws' plain mean would be a saddle point when the
            labels are thoroughly mixed.
        passes: passes over the draws, at most.
        classes: a number for every component; components change places within their class.

    Raises:
        InputError: when there are no draws.

    Example:
        >>> first = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
        >>> found = stephens([np.stack([first, first[:, ::-1]])])
        >>> found.permutation
        array([[0, 1],
               [1, 0]])
        >>> round(float(found.objective[-1]), 12)
        0.0
    """
    if reference is None:
        reference = _first(blocks)
    mean = (1 - SMOOTHING) * reference + SMOOTHING / reference.shape[-1]
    entropy: np.ndarray | None = None
    objective: list[float] = []
    permutation = cost = None
    for _ in range(max(1, passes)):
        new_permutation, new_cost, new_mean, entropy = _one_pass(blocks, mean, entropy, classes)
        value = float((total_cost(new_cost, new_permutation) - entropy).sum())
        if objective and value >= objective[-1] - TOLERANCE * max(1.0, abs(objective[-1])):
            break
        permutation, cost, mean = new_permutation, new_cost, new_mean
        objective.append(value)
    assert permutation is not None and cost is not None
    return Stephens(permutation, cost, np.array(objective), mean)


def _first(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The first draw's responsibilities."""
    for block in blocks:
        if len(block):
            return np.asarray(block[0], dtype=np.float64)
    raise InputError("There are no draws to relabel.")


def _one_pass(
    blocks: Iterable[np.ndarray],
    mean: np.ndarray,
    entropy: np.ndarray | None,
    classes: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Best permutations under q, their costs, the next q, and the draws' entropies (once)."""
    log_mean = np.log(np.maximum(mean, SMALLEST))
    permutations, costs, entropies = [], [], []
    total, done = np.zeros_like(mean), 0
    for block in blocks:
        cost = -np.matmul(log_mean.T.astype(block.dtype), block).astype(np.float64)
        cost = within_classes(cost, classes)
        permutation = best_permutations(cost)
        total += _permuted_sum(block, permutation)
        done += len(block)
        if entropy is None:
            entropies.append(_entropy(block))
        permutations.append(permutation)
        costs.append(cost)
    if entropy is None:
        entropy = np.concatenate(entropies)
    return np.concatenate(permutations), np.concatenate(costs), total / done, entropy


def _permuted_sum(block: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """The relabelled block summed over draws, ``(row, cluster)``.

    Draws that share a permutation are summed first: there are few different ones.
    """
    total = np.zeros(block.shape[1:])
    patterns, which = np.unique(permutation, axis=0, return_inverse=True)
    if 4 * len(patterns) > len(block):
        return permute(block, permutation, axis=2).sum(axis=0, dtype=np.float64)
    for index, pattern in enumerate(patterns):
        part = block[which == index].sum(axis=0, dtype=np.float64)
        total += part[:, pattern]
    return total


def _entropy(block: np.ndarray) -> np.ndarray:
    """Entropy of every draw's responsibilities, summed over rows, in nats."""
    logarithm = np.log(np.maximum(block, SMALLEST))
    return -(block * logarithm).sum(axis=(1, 2), dtype=np.float64)
