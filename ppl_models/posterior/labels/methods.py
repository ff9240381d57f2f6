"""The methods of relabelling by name, each from allocations to permutations and margins.

A draw counts as not clear-cut when its second-best relabelling is nearly as good as its best:

- agreement with a pivot: when another component number for some component with at least one row
  would cost fewer than ``CLEAR_ROWS * sqrt(n)`` rows of agreement, n the rows of that component.
  Components that cannot be told apart differ by about sqrt(n) rows by chance alone;
- Kullback-Leibler: when the second-best is within a factor of 20 in likelihood, ``CLEAR_NATS``;
- order: when two neighbours are nearer than one posterior standard deviation.

Components without rows can be exchanged freely; they do not make a draw unclear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ppl_models.errors import InputError
from ppl_models.posterior.labels.allocations import (
    CLUSTER,
    STATE,
    Allocations,
    ResponsibilityBlocks,
    dataset_of,
)
from ppl_models.posterior.labels.ecr import (
    agreement,
    ecr_iterative,
    ecr_iterative_soft,
    ecr_soft,
    soft_agreement,
)
from ppl_models.posterior.labels.ordering import by_order, gaps
from ppl_models.posterior.labels.permutations import (
    best_permutations,
    cheapest_changes,
    identity,
    permute,
    within_classes,
)
from ppl_models.posterior.labels.stephens import stephens

#: Agreement with a pivot is clear from so many times sqrt(rows of the component).
CLEAR_ROWS = 3.0
#: A Kullback-Leibler margin is clear from so many nats: a likelihood ratio of 20.
CLEAR_NATS = float(np.log(20))
#: An order is clear from so many posterior standard deviations between neighbours.
CLEAR_GAP = 1.0


@dataclass(frozen=True)
class Relabelling:
    """Permutations ``(draw, cluster)``, margins and doubts ``(draw)``, and the margins' unit."""

    permutation: np.ndarray
    margin: np.ndarray
    unclear: np.ndarray
    margin_unit: str


@dataclass
class Evidence:
    """Input of a relabelling method: allocations of some rows, and the user's options.

    Args:
        allocations: of the fit with its original labels.
        rows: positions of the rows used.
        variable: that components are ordered by, or its name.
    """

    allocations: Allocations
    rows: np.ndarray
    variable: str | xr.DataArray | None

    def drawn(self) -> np.ndarray | None:
        """Drawn allocations ``(draw, row)`` of the rows used, or None."""
        drawn = self.allocations.drawn
        return None if drawn is None else drawn[:, self.rows]

    @property
    def classes(self) -> np.ndarray:
        """Class of every component: only components of one class may be exchanged."""
        return self.allocations.facts.labels.class_of()

    def blocks(self) -> ResponsibilityBlocks:
        """Responsibilities of the rows used."""
        return self.allocations.blocks(self.rows)

    def best_draw(self) -> int | None:
        """The draw of highest log density, counted through chains, or None if unknown."""
        tree = self.allocations.tree
        if "sample_stats" not in tree.children or "lp" not in tree["sample_stats"]:
            return None
        lp = dataset_of(tree, "sample_stats")["lp"].transpose("chain", "draw").values
        return int(np.nanargmax(lp))


@dataclass(frozen=True)
class Rule:
    """A method of relabelling.

    Args:
        permutations: function that computes the permutations.
        by_rows: whether it compares the allocations of rows. If not, it sorts the components, and
            the order that it gives them is final.
    """

    permutations: Callable[[Evidence], Relabelling]
    by_rows: bool = True


def _by_pivot(evidence: Evidence) -> Relabelling:
    """ECR with the assignments of the draw of highest ``lp``."""
    best = evidence.best_draw()
    if best is None:
        raise InputError(
            "Relabelling by 'ecr' takes its pivot from sample_stats/lp, which the tree does not "
            "have: use method='ecr-iterative'."
        )
    drawn = evidence.drawn()
    if drawn is not None:
        return _judge_drawn(evidence, drawn, drawn[best])
    blocks = evidence.blocks()
    pivot = blocks.one(best).argmax(axis=-1)
    return _judge_rows(evidence, *soft_agreement(blocks, pivot))


def _iterative(evidence: Evidence) -> Relabelling:
    """ECR with a consensus pivot, started from the best draw's assignments (or the first's)."""
    best = evidence.best_draw() or 0
    drawn = evidence.drawn()
    if drawn is not None:
        clusters = evidence.allocations.components
        cost = within_classes(-agreement(drawn, clusters, drawn[best]), evidence.classes)
        start = best_permutations(cost)
        _, pivot = ecr_iterative(drawn, clusters, start=start, classes=evidence.classes)
        return _judge_drawn(evidence, drawn, pivot)
    blocks = evidence.blocks()
    pivot = blocks.one(best).argmax(axis=-1)
    start = ecr_soft(blocks, pivot, evidence.classes)
    _, pivot = ecr_iterative_soft(blocks, start=start, classes=evidence.classes)
    return _judge_rows(evidence, *soft_agreement(blocks, pivot))


def _kullback_leibler(evidence: Evidence) -> Relabelling:
    """Stephens' algorithm, started from the best draw's responsibilities (or the first's)."""
    blocks = evidence.blocks()
    reference = blocks.one(evidence.best_draw() or 0).astype(np.float64)
    result = stephens(blocks, reference=reference, classes=evidence.classes)
    sizes = np.concatenate([block.sum(axis=1, dtype=np.float64) for block in blocks])
    changes = cheapest_changes(result.cost, result.permutation)
    occupied = permute(sizes, result.permutation) >= 1
    unclear = (occupied & (changes < CLEAR_NATS)).any(axis=1)
    return Relabelling(result.permutation, changes.min(axis=1), unclear, "nats")


def _ordered(evidence: Evidence) -> Relabelling:
    """Ascending order of a variable with one number a component."""
    values = _ordering_values(evidence)
    permutation = identity(*values.shape)
    margin = np.full(len(values), np.inf)
    for members in map(list, evidence.allocations.facts.labels.classes):
        order = by_order(values[:, members])
        permutation[:, members] = np.asarray(members)[order]
        margin = np.minimum(margin, gaps(values[:, members], order))
    return Relabelling(permutation, margin, margin < CLEAR_GAP, "posterior standard deviations")


METHODS = {
    "ecr": Rule(_by_pivot),
    "ecr-iterative": Rule(_iterative),
    "stephens": Rule(_kullback_leibler),
    "order": Rule(_ordered, by_rows=False),
}


def _judge_drawn(evidence: Evidence, drawn: np.ndarray, pivot: np.ndarray) -> Relabelling:
    """Permutations and doubts from drawn allocations."""
    table = agreement(drawn, evidence.allocations.components, pivot)
    return _judge_rows(evidence, table, table.sum(axis=1))


def _judge_rows(evidence: Evidence, table: np.ndarray, sizes: np.ndarray) -> Relabelling:
    """Permutations and doubts from agreement ``(draw, cluster, cluster)`` and component sizes."""
    cost = within_classes(-table, evidence.classes)
    permutation = best_permutations(cost)
    changes = cheapest_changes(cost, permutation)
    rows = permute(sizes, permutation)
    unclear = ((rows >= 1) & (changes < CLEAR_ROWS * np.sqrt(rows))).any(axis=1)
    return Relabelling(permutation, changes.min(axis=1), unclear, "rows")


def _ordering_values(evidence: Evidence) -> np.ndarray:
    """The ordering variable as ``(draw, cluster)``."""
    posterior, variable = evidence.allocations.posterior, evidence.variable
    if variable is None:
        variable = evidence.allocations.facts.weights
        if variable is None:
            raise InputError("The fit has no site of cluster weights to order by: give variable=.")
    if isinstance(variable, str):
        if variable not in posterior.data_vars:
            raise InputError(
                f"The posterior has no variable {variable!r} to order by: choose one of "
                f"{', '.join(map(str, posterior.data_vars))}."
            )
        variable = posterior[variable]
    if set(variable.dims) not in ({"chain", "draw", CLUSTER}, {"chain", "draw", STATE}):
        raise InputError(
            f"Ordering needs one number a component, but {variable.name!r} has dims "
            f"{', '.join(map(str, variable.dims))}: select along the others, as in "
            "variable=tree['posterior']['loc'].sel(feature=...)."
        )
    values = variable.transpose("chain", "draw", ...).values
    return values.reshape(-1, values.shape[-1])
