"""Clusters as a posterior quantity of a result: a point partition with its ball, co-assignment."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models import memory
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.posterior.labels.allocations import (
    Allocations,
    Responsibilities,
    choose_rows,
    draw_assignments,
    require_draws,
)
from ppl_models.posterior.partition.ball import credible_ball
from ppl_models.posterior.partition.losses import compact
from ppl_models.posterior.partition.search import point_partition
from ppl_models.posterior.partition.similarity import similarity, soft_similarity
from ppl_models.posterior.result.schema import row_weights

#: Draws, and draws x rows, that are looked at, at most, unless the caller says otherwise.
DRAWS = 4000
#: Rows of a co-assignment matrix when the caller chooses none, and at most.
ROWS = 2000
MOST_ROWS = 10_000


def partition(
    tree: xr.DataTree,
    *,
    loss: str = "vi",
    draws: int | None = None,
    starts: int = 16,
    max_clusters: int | None = None,
    probability: float = 0.95,
    seed: int = 0,
    responsibilities: Responsibilities | None = None,
) -> xr.DataTree:
    """A new tree with a group ``partition``: the partition of least posterior expected loss.

    Assignments come from the posterior where the sampler drew them; otherwise one is drawn from
    the responsibilities of every draw and row, with this ``seed``. Wade and Ghahramani (2018),
    Bayesian cluster analysis; the search is that of Dahl, Johnson and Mueller (2022), salso.

    Args:
        tree: a result with draws.
        loss: ``"vi"`` (variation of information, in bits) or ``"binder"``.
        draws: evenly spaced draws to use, at most; default: 4,000, fewer from 50,000 rows on.
        starts: searches, see :func:`~ppl_models.posterior.partition.search.point_partition`.
        max_clusters: as many clusters as the partition may have; default: as many as any draw.
        probability: of the credible ball.
        seed: of drawn assignments and of the search.
        responsibilities: ``(tree, rows=, draws=) -> (draw, row, cluster)``; default: computed by
            the program.

    Returns:
        The tree with ``partition``, on the dim of the rows: ``labels`` (0 for the largest
        cluster), ``certainty`` (the probability of being with another member of the own cluster,
        on average), ``fewest``, ``most``, ``farthest`` (the bounds of the credible ball); scalars
        ``expected_loss``, ``radius``; attributes ``loss``, ``clusters``, ``probability``,
        ``draws``, ``starts``, ``starts_agreeing``, ``seed``.

    Raises:
        InputError: for a tree of a point method or without clusters, or an unknown loss.
        UnsupportedError: for a fit whose rows have weights.

    >>> from ppl_models import fit
    >>> x = np.r_[np.linspace(-1, 1, 20), np.linspace(9, 11, 20)]
    >>> options = {"clusters": 3, "draws": 50, "predictive": 0}
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, **options)
    >>> partition(tree)["partition"].attrs["clusters"]
    2
    """
    whole_number("seed", seed, minimum=0)
    if row_weights(tree) is not None:
        raise UnsupportedError(
            "the rows of this fit have weights, and the copies of a row may be in several "
            "clusters, so that rows have no one partition: predict(tree) says how probable each "
            "cluster is"
        )
    allocations = _allocations(tree, draws, responsibilities)
    assignments = assignments_of(allocations, draws, seed)
    point = point_partition(
        assignments, loss=loss, starts=starts, max_clusters=max_clusters, seed=seed
    )
    ball = credible_ball(point.labels, assignments, loss=loss, probability=probability)
    rows = {
        "labels": point.labels,
        "certainty": certainty(point.labels, assignments),
        "fewest": ball.fewest,
        "most": ball.most,
        "farthest": ball.farthest,
    }
    dim = allocations.unit[0]
    dataset = xr.Dataset({name: ((dim,), values) for name, values in rows.items()})
    dataset["expected_loss"], dataset["radius"] = point.expected_loss, ball.radius
    dataset = dataset.assign_coords({dim: allocations.row_labels()})
    dataset.attrs = {
        "loss": loss,
        "clusters": point.clusters,
        "probability": probability,
        "draws": len(assignments),
        "starts": len(point.start_losses),
        "starts_agreeing": point.starts_agreeing,
        "seed": seed,
    }
    result = tree.copy()
    result["partition"] = xr.DataTree(dataset)
    return result


def coassignment(
    tree: xr.DataTree,
    rows: np.ndarray | None = None,
    *,
    draws: int | None = None,
    seed: int = 0,
    responsibilities: Responsibilities | None = None,
) -> xr.DataTree:
    """A new tree with a group ``similarity``: the probability that two rows share a cluster.

    The posterior similarity matrix; Fritsch and Ickstadt (2009), Bayesian Analysis 4.

    Args:
        tree: a result with draws.
        rows: indices of rows; default: all of them, or a subsample of 2,000 with this ``seed``.
        draws: as in :func:`partition`.
        seed: of the subsample.
        responsibilities: as in :func:`partition`; without drawn assignments the probabilities
            are computed from them, none are drawn.

    Returns:
        The tree with ``similarity/similarity (row, row_other)``, float32.

    Raises:
        InputError: for a tree of a point method or without clusters, or more than 10,000 rows.

    >>> from ppl_models import fit
    >>> x = np.r_[np.linspace(-1, 1, 20), np.linspace(9, 11, 20)]
    >>> options = {"clusters": 2, "draws": 50, "predictive": 0}
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, **options)
    >>> coassignment(tree, [0, 1, 39])["similarity"]["similarity"].values.round(2).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    whole_number("seed", seed, minimum=0)
    allocations = _allocations(tree, draws, responsibilities)
    dim, count = allocations.unit
    rows = choose_rows(count, ROWS, seed) if rows is None else np.asarray(rows)
    if len(rows) > MOST_ROWS:
        raise InputError(
            f"A co-assignment matrix of {len(rows)} rows is too large to hold: choose at most "
            f"{MOST_ROWS} rows, or use partition(tree), which needs no such matrix."
        )
    chosen = _spaced_draws(allocations, draws, len(rows))
    if allocations.drawn is not None:
        matrix = similarity(allocations.drawn[chosen][:, rows])
    else:
        matrix = soft_similarity(allocations.blocks(rows, chosen, cache_bytes=0))
    names = allocations.row_labels()[rows]
    other = f"{dim}_other"
    dataset = xr.Dataset({"similarity": ((dim, other), matrix)}, {dim: names, other: names})
    dataset.attrs = {"draws": len(chosen), "seed": seed}
    result = tree.copy()
    result["similarity"] = xr.DataTree(dataset)
    return result


def assignments_of(allocations: Allocations, draws: int | None = None, seed: int = 0) -> np.ndarray:
    """Assignments ``(draw, row)`` of evenly spaced draws, if need be drawn themselves."""
    count = allocations.unit[1]
    chosen = _spaced_draws(allocations, draws, count)
    if allocations.drawn is not None:
        return allocations.drawn[chosen]
    return draw_assignments(allocations.blocks(np.arange(count), chosen, cache_bytes=0), seed)


def certainty(labels: np.ndarray, assignments: np.ndarray) -> np.ndarray:
    """The mean probability ``(row)`` that a row is together with another member of its cluster.

    One for a row that is alone in its cluster.

    Example:
        >>> certainty(np.array([0, 0, 0]), np.array([[0, 0, 0], [0, 0, 1]]))
        array([0.75, 0.75, 0.5 ])
    """
    clusters = int(labels.max()) + 1
    members = np.bincount(labels)[labels] - 1
    together = np.zeros(len(labels))
    for draw in compact(assignments):
        cells = draw.astype(np.int64) * clusters + labels
        together += np.bincount(cells)[cells] - 1
    return np.where(members > 0, together / (np.maximum(members, 1) * len(assignments)), 1.0)


def _allocations(
    tree: xr.DataTree, draws: int | None, responsibilities: Responsibilities | None
) -> Allocations:
    """The allocations of a fit that has draws, and clusters to be allocated to."""
    if draws is not None:
        whole_number("draws", draws)
    require_draws(tree, "a posterior of partitions")
    allocations = Allocations(tree, responsibilities)
    if not allocations.facts.clusters and not allocations.fitted.problem.terms:
        raise InputError(
            "The fit's program assigns rows to no clusters, so that there is nothing to partition "
            "them by: fit a mixture."
        )
    return allocations


def _spaced_draws(allocations: Allocations, draws: int | None, rows: int) -> np.ndarray:
    """Evenly spaced draws, counted through chains."""
    if draws is None:
        draws = max(1, min(DRAWS, memory.PARTITION_NUMBERS // max(1, rows)))
    count = int(np.prod(allocations.shape))
    return np.unique(np.linspace(0, count - 1, min(count, draws)).astype(int))
