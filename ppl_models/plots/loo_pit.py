"""Leave-one-out probability integral transforms against the uniform distribution."""

from __future__ import annotations

import arviz_plots
import numpy as np
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.plots.panels import figure_of
from ppl_models.plots.style import cluster_colors, styled

MOST = 6  #: features shown


@styled
def plot_loo_pit(places: xr.Dataset) -> PlotCollection:
    """ArviZ's picture of the difference between the places' distribution and the uniform one.

    Args:
        places: of ``ppl_models.loo_pit``, ``(row,)`` or ``(row, feature)``; of many features the
            first are shown.

    Returns:
        A panel a feature, with the p-value of uniformity.
    """
    panels = {}
    for name, values in places.data_vars.items():
        columns = values.values.reshape(values.shape[0], -1)[:, :MOST]
        features = values.dims[-1]  # those of a second kind of data have the site's name before
        labels = values[features].values if features in values.coords else range(MOST)
        for i, column in enumerate(columns.T):
            seen = column[~np.isnan(column)]
            label = str(name) if columns.shape[1] == 1 else str(labels[i])
            panels[label] = seen
    count = min(len(seen) for seen in panels.values())  # gaps leave features of unequal lengths
    variables = {label: (("chain", "draw"), seen[None, :count]) for label, seen in panels.items()}
    shown = xr.DataTree.from_dict({"prior_sbc": xr.Dataset(variables)})
    lines = -(-len(panels) // 3)
    made = arviz_plots.plot_ecdf_pit(
        shown, backend="matplotlib", col_wrap=3,
        visuals={"ecdf_lines": {"color": cluster_colors(1)[0]}},
        figure_kwargs={"figsize": (3.6 * min(3, len(panels)), 2.9 * lines),
                       "figsize_units": "inches"},
    )  # fmt: skip
    for axes in figure_of(made).axes:
        axes.set_xlabel("place among predictions", fontsize=9)
    return made
