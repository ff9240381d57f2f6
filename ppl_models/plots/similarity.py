"""Co-assignment probabilities of rows, ordered into blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.panels import new_panels, panel
from ppl_models.plots.drawing.place import add_color_bar
from ppl_models.plots.drawing.reading import group, thinned_rows
from ppl_models.plots.drawing.style import HEAT, cluster_colors, headline, ink


def block_order(similarity: np.ndarray, partition: np.ndarray) -> np.ndarray:
    """Rows by block (large ones first), within it by falling mean similarity to their own block.

    Args:
        similarity: (row, row).
        partition: the block of every row (row).

    Returns:
        Row indices (row).

    >>> block_order(np.eye(3), np.array([0, 1, 1]))
    array([1, 2, 0])
    """
    labels, codes, counts = np.unique(partition, return_inverse=True, return_counts=True)
    rank = np.empty(len(labels), int)
    rank[np.lexsort((np.arange(len(labels)), -counts))] = np.arange(len(labels))
    own = np.empty(len(partition))
    for code in range(len(labels)):
        inside = np.flatnonzero(codes == code)
        own[inside] = similarity[np.ix_(inside, inside)].mean(1)
    return np.lexsort((-own, rank[codes]))


def linkage_order(similarity: np.ndarray) -> np.ndarray:
    """Rows in the order of an average-linkage tree, used without a partition."""
    distance = 1.0 - (similarity + similarity.T) / 2.0
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(np.clip(distance, 0.0, None), checks=False), "average"))


@register_plot(
    section="assignments",
    order=220,
    caption="The probability that two rows are in the same cluster, rows ordered by the partition.",
    serves=lambda tree, emission: "similarity" in tree.children,
)
def plot_similarity(
    similarity: xr.DataArray | xr.DataTree,
    *,
    partition: Sequence[int] | np.ndarray | xr.DataArray | None = None,
    max_rows: int = 1500,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The probability that two rows share a cluster, rows ordered and blocks outlined.

    Args:
        similarity: co-assignment probabilities (row, row), or a tree with a group `similarity`
            that holds them.
        partition: the block of every row; without one, that of the tree's group `partition`, and
            without that rows are ordered by average linkage.
        max_rows: of more rows than this, evenly spaced ones of the ordered rows are shown.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: when the matrix is not square or the partition has another length.

    Example:
        >>> picture = plot_similarity(xr.DataArray(np.eye(4)), partition=[0, 0, 1, 1])
        >>> picture.viz["plot"].item().get_xlabel()
        'rows, ordered'
    """
    matrix, partition = _read(similarity, partition)
    rows = len(matrix)
    thinned = thinned_rows(rows, max_rows)
    if partition is None:
        before = thinned
        order = before[linkage_order(matrix[np.ix_(before, before)])]
    else:
        order = block_order(matrix, partition)[thinned]
    made = plot_collection or new_panels(size=(6.9, 6.0), backend=backend)
    target = panel(made)
    image = target.imshow(
        matrix[np.ix_(order, order)], cmap=HEAT, norm=Normalize(0.0, 1.0), extent=(0, 1, 1, 0),
        interpolation="nearest" if len(order) <= 400 else "antialiased",
    )  # fmt: skip
    add_color_bar(target, image, "probability of the same cluster", fraction=0.045, pad=0.03)
    target.set(xticks=[], yticks=[], xlabel="rows, ordered")
    target.set_ylabel("rows, ordered", labelpad=4.0 if partition is None else 18.0)
    blocks = "" if partition is None else _draw_blocks(target, np.asarray(partition)[order])
    shown = f"{len(order):,} of {rows:,} rows shown" if len(order) < rows else f"{rows:,} rows"
    note = "; ".join(part for part in (blocks, shown) if part)
    headline(target, "Which rows belong together", note)
    return made


def _read(
    similarity: xr.DataArray | xr.DataTree, partition: object
) -> tuple[np.ndarray, np.ndarray | None]:
    if isinstance(similarity, xr.DataTree):
        dataset = group(similarity, "similarity", "plot_similarity")
        square = [name for name in dataset.data_vars if dataset[name].ndim == 2]
        if not square:
            raise InputError("The group 'similarity' holds no matrix (row, row): compute it again.")
        tree, similarity = (
            similarity,
            dataset["similarity" if "similarity" in square else square[0]],
        )
        partition = _partition_of(tree, similarity) if partition is None else partition
    matrix = np.asarray(similarity)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"A similarity matrix must be (row, row), not {matrix.shape}.")
    if partition is None:
        return matrix, None
    partition = np.asarray(partition)
    if partition.shape != matrix.shape[:1]:
        raise InputError(
            f"The partition has {partition.size} labels for {len(matrix)} rows: give one a row."
        )
    return matrix, partition


def _partition_of(tree: xr.DataTree, similarity: xr.DataArray) -> xr.DataArray | None:
    """The labels of the group `partition` for the rows that the matrix holds."""
    if "partition" not in tree.children or "labels" not in tree["partition"].data_vars:
        return None
    labels, dim = tree["partition"].to_dataset()["labels"], similarity.dims[0]
    if dim in labels.coords and dim in similarity.coords:
        return labels.sel({dim: similarity[dim].values})
    return labels if labels.size == similarity.shape[0] else None


def _draw_blocks(target: Axes, labels: np.ndarray) -> str:
    """Outline every run of equal labels on the diagonal and colour it beside the matrix."""
    changes = np.flatnonzero(np.diff(np.unique(labels, return_inverse=True)[1])) + 1
    ends = np.concatenate([[0], changes, [len(labels)]]) / len(labels)
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        corners = [(low, low), (high, low), (high, high), (low, high), (low, low)]
        target.plot(*np.transpose(corners), color=ink(), linewidth=1.0, clip_on=False)
    count = len(ends) - 1
    strip = target.inset_axes((-0.035, 0.0, 0.02, 1.0))
    codes = np.repeat(np.arange(count), np.round(np.diff(ends) * len(labels)).astype(int))
    strip.imshow(codes[:, None], aspect="auto", cmap=ListedColormap(_block_colors(labels, codes)),
                 vmin=-0.5, vmax=count - 0.5, interpolation="nearest")  # fmt: skip
    strip.set_axis_off()
    return f"{count} {'block' if count == 1 else 'blocks'} of the partition"


def _block_colors(labels: np.ndarray, codes: np.ndarray) -> list[str]:
    """The colour of the cluster with the block's label, where labels count from 0."""
    firsts = [labels[np.flatnonzero(codes == code)[0]] for code in range(codes.max() + 1)]
    counted = np.issubdtype(np.asarray(labels).dtype, np.integer) and min(firsts) >= 0
    indices = [int(first) for first in firsts] if counted else range(len(firsts))
    palette = cluster_colors(max(indices) + 1)
    return [palette[index] for index in indices]
