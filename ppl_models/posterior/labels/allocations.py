"""Who belongs to which component, draw by draw, as a tree tells it.

Either the sampler drew assignments and the posterior holds them, or responsibilities are computed
again from the parameters, some draws at a time, so that the array (draw, row, cluster) never has
to exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import xarray as xr

from ppl_models import memory
from ppl_models.errors import InputError, whole_number
from ppl_models.posterior.density.responsibilities import responsibilities
from ppl_models.posterior.result.restore import restored

#: ``responsibilities(tree, rows=indices, draws=slice or indices) -> (draw, row, cluster)``, where
#: draws are counted through chains: chain 0's first, then chain 1's.
Responsibilities = Callable[..., np.ndarray]

CLUSTER = "cluster"
STATE = "state"
ASSIGNMENT = "assignment"


def dataset_of(tree: xr.DataTree, group: str, *, inherit: bool = True) -> xr.Dataset:
    """A group's variables, with the coordinates of groups above it if ``inherit``."""
    return tree.children[group].to_dataset(inherit=inherit)


def require_draws(tree: xr.DataTree, purpose: str) -> None:
    """End with one sentence when the tree holds no draws to work on.

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


def sample_shape(tree: xr.DataTree) -> tuple[int, int]:
    """Chains and draws of the posterior."""
    sizes = dataset_of(tree, "posterior").sizes
    return sizes["chain"], sizes["draw"]


def cluster_count(tree: xr.DataTree) -> int:
    """Components of the posterior, 0 when it has no dim ``cluster``."""
    return dataset_of(tree, "posterior").sizes.get(CLUSTER, 0)


def component_count(tree: xr.DataTree) -> int:
    """Clusters, or the states of hidden paths where nothing else is assigned."""
    return cluster_count(tree) or dataset_of(tree, "posterior").sizes.get(STATE, 0)


def unit_dimension(tree: xr.DataTree) -> tuple[str, int]:
    """Name and size of the axis of what is assigned: rows, sequences, or steps of hidden paths.

    Raises:
        InputError: when no group tells it.
    """
    if ASSIGNMENT in dataset_of(tree, "posterior").data_vars:
        variable = dataset_of(tree, "posterior")[ASSIGNMENT]
        chains, draws = sample_shape(tree)
        return str(variable.dims[-1]), variable.size // (chains * draws)
    if not cluster_count(tree) and component_count(tree) and "observed_data" in tree.children:
        values = next(iter(dataset_of(tree, "observed_data").data_vars.values()))
        return "step", values.shape[0] * values.shape[1]  # states are of steps, not of sequences
    for group in ("log_likelihood", "responsibilities", "observed_data"):
        if group not in tree.children:
            continue
        for variable in dataset_of(tree, group).data_vars.values():
            dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
            if dims:
                return str(dims[0]), variable.sizes[dims[0]]
    raise InputError(
        "The tree has neither assignments, nor log_likelihood, nor observed_data: the rows that "
        "the fit was made from are unknown, fit again with the data."
    )


def drawn_assignments(tree: xr.DataTree) -> np.ndarray | None:
    """Assignments ``(draw, row)`` that the sampler drew, chains one after another, or None.

    Where a row is a sequence, every position of every sequence counts as a row.
    """
    posterior = dataset_of(tree, "posterior")
    if ASSIGNMENT not in posterior.data_vars:
        return None
    variable = posterior[ASSIGNMENT].transpose("chain", "draw", ...)
    return variable.values.reshape(variable.shape[0] * variable.shape[1], -1)


def choose_rows(count: int, rows_used: int, seed: int) -> np.ndarray:
    """Indices of at most ``rows_used`` of ``count`` rows, a seeded subsample in ascending order.

    Example:
        >>> choose_rows(3, 10, seed=0)
        array([0, 1, 2])
    """
    whole_number("rows_used", rows_used)
    if count <= rows_used:
        return np.arange(count)
    chosen = np.random.default_rng(seed).choice(count, rows_used, replace=False)
    return np.sort(chosen)


def responsibility_function(given: Responsibilities | None) -> Responsibilities:
    """The function given, or the one that reads the program from the tree."""
    return _by_program if given is None else given


def _by_program(
    tree: xr.DataTree, rows: np.ndarray | None = None, draws: np.ndarray | None = None
) -> np.ndarray:
    with restored(tree) as fitted:
        return responsibilities(fitted, rows, draws)


class ResponsibilityBlocks:
    """Responsibilities of a tree's draws, block by block, as often as they are gone through.

    Iterating yields float32 arrays ``(draw, row, cluster)``. They are computed anew on every
    pass, unless all of them fit into ``cache_bytes``.
    """

    def __init__(
        self,
        tree: xr.DataTree,
        rows: np.ndarray,
        function: Responsibilities,
        *,
        draws: np.ndarray | None = None,
        cache_bytes: int = memory.RESPONSIBILITY_BYTES,
    ) -> None:
        """Take ``rows`` (indices) and ``draws`` (indices through chains; default all)."""
        chains, per_chain = sample_shape(tree)
        self.tree, self.rows, self.function = tree, rows, function
        self.draws = np.arange(chains * per_chain) if draws is None else draws
        draw_bytes = 4 * max(1, len(rows)) * max(1, component_count(tree))
        self.size = max(1, memory.LABEL_BYTES // draw_bytes)
        self.keep = draw_bytes * len(self.draws) <= cache_bytes
        self.kept: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks in the order of ``draws``."""
        for index, start in enumerate(range(0, len(self.draws), self.size)):
            if index < len(self.kept):
                yield self.kept[index]
                continue
            block = self.of(self.draws[start : start + self.size])
            if self.keep:
                self.kept.append(block)
            yield block

    def one(self, draw: int) -> np.ndarray:
        """Responsibilities ``(row, cluster)`` of one draw.

        From its block, where that is kept: a block of its own would be compiled for one draw.
        """
        if not self.keep:
            return self.of(np.array([draw]))[0]
        index, inside = divmod(int(np.flatnonzero(self.draws == draw)[0]), self.size)
        return next(islice(self, index, None))[inside]

    def of(self, draws: np.ndarray) -> np.ndarray:
        """Responsibilities ``(draw, row, cluster)`` of some draws."""
        block = self.function(self.tree, rows=self.rows, draws=draws)
        return np.asarray(block, dtype=np.float32)


def draw_assignments(blocks: ResponsibilityBlocks, seed: int) -> np.ndarray:
    """One assignment a draw and row, ``(draw, row)``, from responsibilities, by inversion."""
    generator = np.random.default_rng(seed)
    drawn = []
    for block in blocks:
        cumulative = np.cumsum(block, axis=-1)
        uniform = generator.random(block.shape[:2], dtype=np.float32) * cumulative[..., -1]
        drawn.append((cumulative[..., :-1] <= uniform[..., None]).sum(axis=-1).astype(np.int32))
    return np.concatenate(drawn)
