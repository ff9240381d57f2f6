"""Allocations: which component each unit of the data belongs to, draw by draw.

Either the sampler drew allocations and the posterior holds them (``assignment``), or the
responsibilities are computed from the parameters, some draws at a time, so that the array
(draw, row, cluster) never has to exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice

import numpy as np
import xarray as xr

from ppl_models import catalogue, memory
from ppl_models.errors import InputError, whole_number
from ppl_models.posterior.density.responsibilities import responsibilities
from ppl_models.posterior.result.restore import RestoredFit, precision_of, restore
from ppl_models.posterior.result.schema import FitFacts, facts_of, row_weights

#: ``responsibilities(tree, rows=indices, draws=indices) -> (draw, row, cluster)``, where draws are
#: counted through chains: chain 0's first, then chain 1's.
Responsibilities = Callable[..., np.ndarray]

CLUSTER = "cluster"
STATE = "state"
ASSIGNMENT = "assignment"


def require_draws(tree: xr.DataTree, purpose: str) -> None:
    """Refuse a tree without draws.

    Raises:
        InputError: for a tree without a posterior, or of a point method.
    """
    if "posterior" not in tree.children:
        raise InputError(f"The tree has no group 'posterior': {purpose} needs the result of a fit.")
    if tree.attrs.get("kind") == "point":
        raise InputError(
            f"The tree holds one point found by {tree.attrs.get('method', 'a point method')!r}: "
            f"{purpose} needs draws, fit with a method that samples."
        )


def dataset_of(tree: xr.DataTree, group: str, *, inherit: bool = True) -> xr.Dataset:
    """A group's variables, with the coordinates of groups above it if ``inherit``."""
    return tree.children[group].to_dataset(inherit=inherit)


class Allocations:
    """Components and allocations of a fit.

    A component is a cluster, or a hidden state where nothing else is assigned. What is allocated
    are the units of the data (rows, sequences), or the steps of all sequences where states are
    hidden.

    Args:
        tree: a fit.
        responsibilities: ``(tree, rows=, draws=) -> (draw, row, cluster)``; default: computed by
            the fit's program.
        fitted: the fit restored, where it is at hand; default: restored when it is needed.
    """

    def __init__(
        self,
        tree: xr.DataTree,
        responsibilities: Responsibilities | None = None,
        fitted: RestoredFit | None = None,
    ) -> None:
        self.tree = tree
        self._responsibilities, self._fitted = responsibilities, fitted

    @cached_property
    def facts(self) -> FitFacts:
        """Facts of the fit."""
        return facts_of(self.tree)

    @cached_property
    def posterior(self) -> xr.Dataset:
        """The draws."""
        return dataset_of(self.tree, "posterior")

    @property
    def shape(self) -> tuple[int, int]:
        """Chains and draws."""
        return self.posterior.sizes["chain"], self.posterior.sizes["draw"]

    @property
    def components(self) -> int:
        """Number of clusters; where nothing is assigned, of hidden states or of terms."""
        return self.facts.components

    @cached_property
    def unit(self) -> tuple[str, int]:
        """Name and number of the allocated units: rows, sequences, or steps of all sequences."""
        emission = self.facts.emission
        sizes = dataset_of(self.tree, "observed_data")[emission.site].sizes
        if self.facts.states and not self.facts.clusters:
            return "step", sizes[emission.dims[0]] * sizes[emission.dims[1]]
        return self.facts.unit, self.facts.units or sizes[self.facts.unit]

    @property
    def unit_total(self) -> float:
        """Number of allocated units, with row weights counted."""
        weights = row_weights(self.tree)
        return self.unit[1] if weights is None else self.unit[1] * float(weights.mean())

    def row_labels(self) -> np.ndarray:
        """Labels of the allocated units; positions if they have none."""
        name, count = self.unit
        observed = dataset_of(self.tree, "observed_data")
        return observed[name].values if name in observed.coords else np.arange(count)

    @cached_property
    def drawn(self) -> np.ndarray | None:
        """Allocations ``(draw, row)`` that the sampler drew, chains one after another, or None."""
        if ASSIGNMENT not in self.posterior:
            return None
        variable = self.posterior[ASSIGNMENT].transpose("chain", "draw", ...)
        return variable.values.reshape(variable.shape[0] * variable.shape[1], -1)

    def counts(self) -> np.ndarray | None:
        """Rows of every component ``(draw, cluster)`` by the drawn allocations, or None."""
        if self.drawn is None:
            return None
        return np.array([np.bincount(row, minlength=self.components) for row in self.drawn])

    @property
    def restorable(self) -> bool:
        """Whether the program of the fit is available, so that it can be run again."""
        program = self.tree.attrs.get("program")
        known = program is not None and catalogue.is_available(program)
        return self._fitted is not None or known

    @property
    def computes_responsibilities(self) -> bool:
        """Whether responsibilities can be computed."""
        return self._responsibilities is not None or self.restorable

    @property
    def fitted(self) -> RestoredFit:
        """The fit restored, once."""
        if self._fitted is None:
            with precision_of(self.tree):
                self._fitted = restore(self.tree)
        return self._fitted

    def responsibilities(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Responsibilities ``(draw, row, cluster)``.

        Args:
            rows: positions of what is allocated.
            draws: positions of draws, counted through chains.
        """
        if self._responsibilities is not None:
            return self._responsibilities(self.tree, rows=rows, draws=draws)
        with self.fitted.scope():
            return responsibilities(self.fitted, rows, draws)

    def blocks(
        self,
        rows: np.ndarray,
        draws: np.ndarray | None = None,
        *,
        cache_bytes: int = memory.RESPONSIBILITY_BYTES,
    ) -> ResponsibilityBlocks:
        """Responsibilities in blocks of draws (default: of all draws)."""
        if draws is None:
            draws = np.arange(self.shape[0] * self.shape[1])
        return ResponsibilityBlocks(self, rows, draws, cache_bytes)


def choose_rows(count: int, rows_used: int, seed: int) -> np.ndarray:
    """Positions of at most ``rows_used`` of ``count`` rows, a seeded subsample in ascending order.

    Example:
        >>> choose_rows(3, 10, seed=0)
        array([0, 1, 2])
    """
    whole_number("rows_used", rows_used)
    if count <= rows_used:
        return np.arange(count)
    chosen = np.random.default_rng(seed).choice(count, rows_used, replace=False)
    return np.sort(chosen)


class ResponsibilityBlocks:
    """Responsibilities of a fit's draws, block by block, as often as they are iterated over.

    Iterating yields float32 arrays ``(draw, row, cluster)``. They are computed anew on every
    pass, unless all of them fit into ``cache_bytes``.

    Args:
        allocations: of the fit.
        rows: positions of rows.
        draws: positions of draws, counted through chains.
        cache_bytes: memory that blocks may be kept in.
    """

    def __init__(
        self, allocations: Allocations, rows: np.ndarray, draws: np.ndarray, cache_bytes: int
    ) -> None:
        self.allocations, self.rows, self.draws = allocations, rows, draws
        draw_bytes = 4 * max(1, len(rows)) * max(1, allocations.components)
        self.size = max(1, memory.LABEL_BYTES // draw_bytes)
        self.caches = draw_bytes * len(self.draws) <= cache_bytes
        self.cache: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks in the order of ``draws``."""
        for index, start in enumerate(range(0, len(self.draws), self.size)):
            if index < len(self.cache):
                yield self.cache[index]
                continue
            block = self._compute(self.draws[start : start + self.size])
            if self.caches:
                self.cache.append(block)
            yield block

    def one(self, draw: int) -> np.ndarray:
        """Responsibilities ``(row, cluster)`` of one draw.

        From its block, where blocks are kept: a block of its own would be compiled for one draw.
        """
        if not self.caches:
            return self._compute(np.array([draw]))[0]
        index, inside = divmod(int(np.flatnonzero(self.draws == draw)[0]), self.size)
        return next(islice(self, index, None))[inside]

    def _compute(self, draws: np.ndarray) -> np.ndarray:
        block = self.allocations.responsibilities(self.rows, draws)
        return np.asarray(block, dtype=np.float32)


def draw_assignments(blocks: ResponsibilityBlocks, seed: int) -> np.ndarray:
    """One allocation a draw and row, ``(draw, row)``, from responsibilities, by inversion."""
    generator = np.random.default_rng(seed)
    drawn = []
    for block in blocks:
        cumulative = np.cumsum(block, axis=-1)
        uniform = generator.random(block.shape[:2], dtype=np.float32) * cumulative[..., -1]
        drawn.append((cumulative[..., :-1] <= uniform[..., None]).sum(axis=-1).astype(np.int32))
    return np.concatenate(drawn)
