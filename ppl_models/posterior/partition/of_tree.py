"""Clusters as a posterior quantity of a result: a point partition with its ball, co-assignment."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models import memory
from ppl_models.errors import InputError, whole_number
from ppl_models.posterior.labels.allocations import (
    ASSIGNMENT,
    Responsibilities,
    ResponsibilityBlocks,
    choose_rows,
    cluster_count,
    dataset_of,
    draw_assignments,
    drawn_assignments,
    require_draws,
    responsibility_function,
    sample_shape,
    unit_dimension,
)
from ppl_models.posterior.partition.ball import credible_ball
from ppl_models.posterior.partition.losses import compact
from ppl_models.posterior.partition.search import point_partition
from ppl_models.posterior.partition.similarity import similarity, soft_similarity

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
    """A new tree with a group ``partition``: who belongs together, and how sure that is.

    Assignments come from the posterior where the sampler drew them; otherwise one is drawn from
    the responsibilities of every draw and row, with this ``seed``.

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
        InputError: for a tree of a point method or without components, or an unknown loss.
    """
    whole_number("seed", seed, least=0)
    _several_draws(draws)
    dim, assignments = assignments_of(tree, draws, seed, responsibilities)
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
    dataset = xr.Dataset({name: ((dim,), values) for name, values in rows.items()})
    dataset["expected_loss"], dataset["radius"] = point.expected_loss, ball.radius
    dataset = dataset.assign_coords(_row_coordinate(tree, dim))
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
    """A new tree with a group ``similarity``: the probability that two rows belong together.

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
        InputError: for a tree of a point method or without components, or more than 10,000 rows.
    """
    whole_number("seed", seed, least=0)
    _several_draws(draws)
    _require_components(tree)
    dim, count = unit_dimension(tree)
    rows = choose_rows(count, ROWS, seed) if rows is None else np.asarray(rows)
    if len(rows) > MOST_ROWS:
        raise InputError(
            f"A co-assignment matrix of {len(rows)} rows is too large to hold: choose at most "
            f"{MOST_ROWS} rows, or use partition(tree), which needs no such matrix."
        )
    chosen = _spaced_draws(tree, draws, len(rows))
    drawn = drawn_assignments(tree)
    if drawn is not None:
        matrix = similarity(drawn[chosen][:, rows])
    else:
        function = responsibility_function(responsibilities)
        blocks = ResponsibilityBlocks(tree, rows, function, draws=chosen, cache_bytes=0)
        matrix = soft_similarity(blocks)
    names = _row_coordinate(tree, dim).get(dim, np.arange(count))[rows]
    other = f"{dim}_other"
    dataset = xr.Dataset({"similarity": ((dim, other), matrix)}, {dim: names, other: names})
    dataset.attrs = {"draws": len(chosen), "seed": seed}
    result = tree.copy()
    result["similarity"] = xr.DataTree(dataset)
    return result


def assignments_of(
    tree: xr.DataTree,
    draws: int | None = None,
    seed: int = 0,
    responsibilities: Responsibilities | None = None,
) -> tuple[str, np.ndarray]:
    """The rows' dim and assignments ``(draw, row)`` of evenly spaced draws, drawn if need be.

    Raises:
        InputError: for a tree of a point method or without components.
    """
    _require_components(tree)
    dim, count = unit_dimension(tree)
    chosen = _spaced_draws(tree, draws, count)
    drawn = drawn_assignments(tree)
    if drawn is not None:
        return dim, drawn[chosen]
    function = responsibility_function(responsibilities)
    rows = np.arange(count)
    blocks = ResponsibilityBlocks(tree, rows, function, draws=chosen, cache_bytes=0)
    return dim, draw_assignments(blocks, seed)


def certainty(labels: np.ndarray, assignments: np.ndarray) -> np.ndarray:
    """The mean probability ``(row)`` that a row is together with another member of its cluster.

    One for a row that is alone in its cluster.

    Example:
        >>> certainty(np.array([0, 0, 0]), np.array([[0, 0, 0], [0, 0, 1]]))
        array([0.75, 0.75, 0.5 ])
    """
    clusters = int(labels.max()) + 1
    others = np.bincount(labels)[labels] - 1
    together = np.zeros(len(labels))
    for draw in compact(assignments):
        cells = draw.astype(np.int64) * clusters + labels
        together += np.bincount(cells)[cells] - 1
    return np.where(others > 0, together / (np.maximum(others, 1) * len(assignments)), 1.0)


def _require_components(tree: xr.DataTree) -> None:
    """Draws, and something to be assigned to."""
    require_draws(tree, "a posterior of partitions")
    if not cluster_count(tree) and ASSIGNMENT not in dataset_of(tree, "posterior"):
        raise InputError(
            "The posterior has neither a dim 'cluster' nor assignments, so rows belong to no "
            "components: fit a mixture."
        )


def _several_draws(draws: int | None) -> None:
    if draws is not None:
        whole_number("draws", draws)


def _spaced_draws(tree: xr.DataTree, draws: int | None, rows: int) -> np.ndarray:
    """Evenly spaced draws, counted through chains."""
    if draws is None:
        draws = max(1, min(DRAWS, memory.PARTITION_NUMBERS // max(1, rows)))
    count = int(np.prod(sample_shape(tree)))
    return np.unique(np.linspace(0, count - 1, min(count, draws)).astype(int))


def _row_coordinate(tree: xr.DataTree, dim: str) -> dict[str, np.ndarray]:
    """The names of the rows, where a group knows them."""
    for group in ("posterior", "log_likelihood", "responsibilities", "observed_data"):
        if group in tree.children and dim in dataset_of(tree, group).coords:
            return {dim: dataset_of(tree, group).coords[dim].values}
    return {}
