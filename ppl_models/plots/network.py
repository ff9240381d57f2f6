"""The links of a network, its nodes ordered by block."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.network import adjacency
from ppl_models.plots.drawing.panels import new_panels, panel
from ppl_models.plots.drawing.reading import emission_of, responsibilities
from ppl_models.plots.drawing.style import PALE, headline, ink, shorten
from ppl_models.plots.responsibilities import row_order
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import EmissionFacts


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    return "responsibilities" in tree.children and adjacency(tree, emission) is not None


@register_plot(
    section="components",
    order=105,
    caption="Links of the network, a row for each node that they come from and a column for each "
    "that they go to. Nodes are ordered by their most probable block, the certain ones first; "
    "lines part the blocks. Grey: links that are not known.",
    serves=_serves,
    each_emission=True,
)
def plot_network(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Adjacency matrix whose nodes are ordered by block.

    A block whose nodes have links to the same others is a rectangle of one density. Holland,
    Laskey and Leinhardt (1983).

    Args:
        tree: a fit of a network, such as one of ``stochastic_block_model``.
        site: which observed site (default: the main one).
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: for data that are no network.

    Example:
        >>> from ppl_models import fit
        >>> links = np.kron(np.eye(2, dtype=int), np.ones((4, 4), int))
        >>> tree = fit("stochastic_block_model", links, method="em", seed=0, clusters=2,
        ...            predictive=0)
        >>> plot_network(tree).viz["plot"].item().get_title(loc="left")
        '8 nodes by block'
    """
    links = adjacency(tree, emission_of(tree, site))
    if links is None:
        raise InputError("These data are no links between the nodes that a program assigns.")
    probability = responsibilities(tree).values
    order = row_order(probability)
    matrix = links.values[np.ix_(order, order)]
    sizes = np.bincount(probability.argmax(1), minlength=probability.shape[1])
    made = plot_collection or new_panels(size=(6.4, 6.0), backend=backend)
    target = panel(made)
    colours = ListedColormap(["white", ink()]).with_extremes(bad=PALE)
    target.imshow(np.ma.masked_invalid(matrix), cmap=colours, vmin=0, vmax=1,
                  interpolation="nearest")  # fmt: skip
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        target.axhline(end - 0.5, color="tab:red", linewidth=1.0)
        target.axvline(end - 0.5, color="tab:red", linewidth=1.0)
    inside = sizes > 0
    middles = (ends - sizes / 2 - 0.5)[inside]
    names = [shorten(name, 12) for name in np.array(component_names(tree, len(sizes)))[inside]]
    target.set_xticks(middles, names)
    target.set_yticks(middles, names)
    target.tick_params(length=0)
    target.set(xlabel="to block", ylabel="from block")
    headline(target, f"{len(order):,} nodes by block", link_counts(links))
    return made


def link_counts(links: xr.DataArray) -> str:
    """How many links there are among the pairs that are known, in words.

    >>> link_counts(xr.DataArray([[0.0, 1.0], [np.nan, 0.0]], dims=("from", "to")))
    '1 link between 1 of 2 ordered pairs of nodes that are known (100%)'
    """
    values = links.values
    apart = ~np.eye(len(values), dtype=bool)
    known = np.isfinite(values) & apart
    loops = int(np.nansum(values[~apart]))
    count, pairs, every = int(values[known].sum()), int(known.sum()), int(apart.sum())
    noun = "link" if count == 1 else "links"
    told = f"{pairs:,} ordered pairs of nodes"
    if pairs < every:
        told = f"{pairs:,} of {every:,} ordered pairs of nodes that are known"
    own = f", and {loops:,} of nodes to themselves" if loops else ""
    return f"{count:,} {noun} between {told} ({count / max(1, pairs):.0%}){own}"
