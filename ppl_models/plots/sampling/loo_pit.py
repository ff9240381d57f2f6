"""Leave-one-out probability integral transforms against the uniform distribution."""

from __future__ import annotations

import arviz_plots
import numpy as np
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.data.missing import missing_cells
from ppl_models.diagnostics.checks import loo_pit
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.interactive import checked_backend, dots, finished
from ppl_models.plots.drawing.network import adjacency
from ppl_models.plots.drawing.panels import figure_of
from ppl_models.plots.drawing.parameters import inches
from ppl_models.plots.drawing.reading import SEQUENCES, is_point, is_restorable
from ppl_models.plots.drawing.style import cluster_colors, points
from ppl_models.plots.sampling.khat import FEWEST
from ppl_models.posterior.result.schema import EmissionFacts, facts_of, row_weights

MOST = 6  #: features shown


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Enough draws of a program that can be restored, and data that have an order."""
    if is_point(tree) or not is_restorable(tree) or row_weights(tree) is not None:
        return False
    sizes = tree["posterior"].sizes
    ordered = all(emission.kind not in SEQUENCES for emission in facts_of(tree).emissions)
    one_unit = adjacency(tree, emission) is not None  # whose links depend on each other
    return ordered and not one_unit and sizes["chain"] * sizes["draw"] >= FEWEST


@register_plot(
    section="checks",
    interactive=True,
    order=510,
    name="loo pit",
    caption="The rank of every observed cell among predictions made without its row, as the "
    "difference between its distribution function and the uniform one. Ranks of a calibrated fit "
    "are uniform, and the curve stays near zero; p is the probability of a curve at least as far "
    "from it.",
    serves=_serves,
    computed=("places",),
)
def plot_loo_pit(
    tree: xr.DataTree,
    *,
    places: xr.Dataset | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """ArviZ's plot of leave-one-out transforms: distribution function minus the uniform one.

    Args:
        tree: a fit with draws of numbers, bits, counts or categories.
        places: what ``ppl_models.loo_pit`` gave, if that has been computed.
        plot_collection: draw into this one, made by ArviZ (`PlotCollection.grid` or `wrap`), and
            return it.
        backend: "matplotlib", or "plotly" for a plot that answers to the mouse.

    Returns:
        A panel a feature, of many features the first, with the p-value of uniformity.

    Raises:
        InputError: the program cannot be asked, or has latent variables of its own for every row.

    Example:
        >>> places = xr.Dataset({"x": ("row", np.linspace(0.01, 0.99, 50))})
        >>> picture = plot_loo_pit(xr.DataTree(), places=places)
        >>> figure_of(picture).axes[0].get_xlabel()
        'rank among predictions'
    """
    lively = checked_backend(backend)
    panels = _panels(loo_pit(tree) if places is None else places)
    count = min(len(seen) for seen in panels.values())  # gaps leave features of unequal lengths
    variables = {label: (("chain", "draw"), seen[None, :count]) for label, seen in panels.items()}
    shown = xr.DataTree.from_dict({"prior_sbc": xr.Dataset(variables)})
    lines = -(-len(panels) // 3)
    size = dots if lively else inches
    made = arviz_plots.plot_ecdf_pit(
        shown, plot_collection=plot_collection,
        backend=backend, col_wrap=3,
        visuals={"ecdf_lines": {"color": cluster_colors(1)[0]}},
        figure_kwargs=size(3.6 * min(3, len(panels)), 2.9 * lines),
    )  # fmt: skip
    if lively:
        return finished(made)
    for axes in figure_of(made).axes:
        axes.set_xlabel("rank among predictions", fontsize=points(9))
    return made


def _panels(places: xr.Dataset) -> dict[str, np.ndarray]:
    """The transforms of each feature's observed cells, by the feature's name."""
    panels = {}
    for name, values in places.data_vars.items():
        columns = values.values.reshape(values.shape[0], -1)[:, :MOST]
        features = values.dims[-1]  # those of a second kind of data have the site's name before
        labels = values[features].values if features in values.coords else range(MOST)
        for i, column in enumerate(columns.T):
            label = str(name) if columns.shape[1] == 1 else str(labels[i])
            panels[label] = column[~missing_cells(column)]
    return panels
