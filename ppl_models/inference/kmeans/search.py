"""Better optima of J(Q, μ) than alternating minimisation alone reaches: spread starts, then swaps.

Alternating minimisation keeps what its start got wrong: two centres in one group, one centre for
two groups. Starts by greedy k-means++ (Arthur and Vassilvitskii 2007; the best of 2 + log K
candidates a step) make that rare, and swaps mend it: a centre that is missed least moves to a row
that is far from all centres, and alternation goes on from there if J fell (local search of Lattanzi
and Sohler 2019; random swaps of Fränti 2018). On twenty drawn sets of 10 to 50 groups the best of
four starts lay up to 20 % above the best of ten by scikit-learn; after swaps it lay 0 to 6 % below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ppl_models import memory
from ppl_models.inference.kmeans.hamerly import HamerlyResult

FAILURES = 3  #: rounds of candidates without a better J, after which the search ends
TRIALS = 5  #: swaps of a round that are followed by alternation
GAIN = 1e-9  #: least relative fall of J that counts

SHORT = 10  #: iterations after which a swap is given up where J has not fallen

Alternation = Callable[[np.ndarray, int], HamerlyResult]


def greedy_kmeans_plus_plus(
    generator: np.random.Generator,
    x: np.ndarray,
    clusters: int,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Rows that are spread over the data, ``(cluster,)``: indices.

    Each is the best of ``2 + log(clusters)`` candidates, which are drawn with a probability
    proportional to the squared distance from the nearest row chosen before.

    Args:
        generator: of the random numbers.
        x: rows ``(row, feature)``, without missing cells.
        clusters: number of rows to choose.
        weights: ``(row,)``, how often each row counts (default: once).

    >>> x = np.array([[0.0], [0.1], [9.0], [9.1]])
    >>> chosen = greedy_kmeans_plus_plus(np.random.default_rng(0), x, 2)
    >>> sorted(x[chosen].round().ravel().tolist())
    [0.0, 9.0]
    """
    candidates = 2 + int(math.log(clusters))
    norms = np.einsum("nd,nd->n", x, x)
    chosen = [_draw_row(generator, len(x), weights)]
    nearest = _squared_distances(x, norms, chosen)[0]
    for _ in range(1, clusters):
        rows = _draw_far_rows(generator, _counted(nearest, weights), candidates)
        if rows is None:  # every row is a centre already
            chosen.append(_draw_row(generator, len(x), weights))
            continue
        distances = np.minimum(_squared_distances(x, norms, rows), nearest)
        best = int(_counted(distances, weights).sum(1, dtype=np.float64).argmin())
        nearest = distances[best]
        chosen.append(int(rows[best]))
    return np.array(chosen)


def _counted(by_row: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Values ``(..., row)`` times the weights of the rows."""
    return by_row if weights is None else by_row * weights


def _draw_row(generator: np.random.Generator, count: int, weights: np.ndarray | None) -> int:
    if weights is None:
        return int(generator.integers(count))
    return int(generator.choice(count, p=weights / weights.sum()))


def _squared_distances(x: np.ndarray, norms: np.ndarray, rows: np.ndarray | list) -> np.ndarray:
    """Squared distances ``(chosen, row)`` of all rows from the chosen ones."""
    distances = x[rows] @ x.T
    distances *= -2
    distances += norms
    distances += norms[rows][:, None]
    distances[np.arange(len(rows)), rows] = 0
    return np.clip(distances, 0, None, out=distances)


def _draw_far_rows(
    generator: np.random.Generator, nearest: np.ndarray, count: int
) -> np.ndarray | None:
    """Rows drawn in proportion to their squared distance from the nearest centre."""
    cumulative = np.cumsum(nearest, dtype=np.float64)
    if not cumulative[-1] > 0:
        return None
    drawn = np.searchsorted(cumulative, generator.random(count) * cumulative[-1], side="right")
    return np.minimum(drawn, len(nearest) - 1)


@dataclass
class _Nearest:
    """Of every row: its nearest centre, and the squared distances of the two nearest."""

    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray


def _two_nearest(x: np.ndarray, norms: np.ndarray, centres: np.ndarray) -> _Nearest:
    labels = np.empty(len(x), np.intp)
    first, second = np.empty(len(x), x.dtype), np.full(len(x), np.inf, x.dtype)
    lengths = np.einsum("kd,kd->k", centres, centres).astype(x.dtype)
    for start in range(0, len(x), memory.DISTANCE_ROWS):
        part = slice(start, min(start + memory.DISTANCE_ROWS, len(x)))
        distances = x[part] @ centres.T.astype(x.dtype)
        distances *= -2
        distances += lengths
        rows = np.arange(len(distances))
        labels[part] = distances.argmin(1)
        first[part] = distances[rows, labels[part]]
        if len(centres) > 1:
            distances[rows, labels[part]] = np.inf
            second[part] = distances.min(1)
    return _Nearest(labels, np.clip(first + norms, 0, None), np.clip(second + norms, 0, None))


def _swap_costs(
    x: np.ndarray,
    norms: np.ndarray,
    nearest: _Nearest,
    rows: np.ndarray,
    clusters: int,
    weights: np.ndarray | None,
) -> np.ndarray:
    """J with a centre added at a row and another centre taken away, ``(candidate, cluster)``."""
    costs = np.zeros((len(rows), clusters))
    for start in range(0, len(x), memory.DISTANCE_ROWS):
        part = slice(start, min(start + memory.DISTANCE_ROWS, len(x)))
        labels, first, second = nearest.labels[part], nearest.first[part], nearest.second[part]
        distances = x[rows] @ x[part].T
        distances *= -2
        distances += norms[part]
        distances += norms[rows][:, None]
        for candidate, far in enumerate(distances):
            remaining = np.minimum(first, far)
            lost = np.minimum(second, far)
            lost -= remaining
            if weights is not None:
                lost, remaining = lost * weights[part], remaining * weights[part]
            costs[candidate] += remaining.sum(dtype=np.float64)
            costs[candidate] += np.bincount(labels, weights=lost, minlength=clusters)
    return costs


def improve_by_swaps(
    generator: np.random.Generator,
    x: np.ndarray,
    result: HamerlyResult,
    alternate: Alternation,
    iterations: int,
    weights: np.ndarray | None = None,
) -> HamerlyResult:
    """Go on from an optimum of J by swaps of one centre until none is found that lowers J.

    Args:
        generator: of the random numbers.
        x: rows ``(row, feature)``, without missing cells.
        result: of alternating minimisation.
        alternate: alternating minimisation from centres ``(cluster, feature)``, at most so many
            iterations.
        iterations: maximum number of iterations after a swap.
        weights: ``(row,)``, how often each row counts (default: once).

    Returns:
        The course with the steps of all swaps that lowered J behind it: J never rises.
    """
    clusters = len(result.centres[-1])
    norms = np.einsum("nd,nd->n", x, x)
    failures = 0 if clusters > 1 else FAILURES
    while failures < FAILURES:
        nearest = _two_nearest(x, norms, result.centres[-1])
        rows = _draw_far_rows(generator, _counted(nearest.first, weights), clusters)
        if rows is None:  # every row is a centre
            break
        better = _first_better(x, norms, nearest, rows, result, alternate, weights)
        if better is None:
            failures += 1
            continue
        failures, result = 0, _continued(result, better)
        if not result.converged:
            result = _continued(result, alternate(result.centres[-1], iterations))
    return result


def _first_better(
    x: np.ndarray,
    norms: np.ndarray,
    nearest: _Nearest,
    rows: np.ndarray,
    result: HamerlyResult,
    alternate: Alternation,
    weights: np.ndarray | None,
) -> HamerlyResult | None:
    """Alternation after the most promising swaps, each of another centre: the first with less J."""
    costs = _swap_costs(x, norms, nearest, rows, len(result.centres[-1]), weights)
    removed = costs.argmin(1)
    tried: set[int] = set()
    for candidate in np.argsort(costs.min(1), kind="stable"):
        centre = int(removed[candidate])
        if centre in tried:
            continue
        tried.add(centre)
        centres = np.array(result.centres[-1], np.float64)
        centres[centre] = x[rows[candidate]]
        trial = alternate(centres, SHORT)
        if trial.objective[-1] < result.objective[-1] * (1 - GAIN):
            return trial
        if len(tried) == TRIALS:
            break
    return None


def _continued(result: HamerlyResult, later: HamerlyResult) -> HamerlyResult:
    """Both courses, the later one from where its J is below the earlier one's last."""
    below = [i for i, value in enumerate(later.objective) if value <= result.objective[-1]]
    return HamerlyResult(
        result.centres + [later.centres[i] for i in below],
        result.objective + [later.objective[i] for i in below],
        later.labels,
        later.converged,
    )
