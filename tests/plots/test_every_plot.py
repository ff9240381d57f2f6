"""Every plot, by its declaration: names of clusters, and what a test of all of them can ask."""

from __future__ import annotations

import pytest
import xarray as xr
from matplotlib.text import Text

from ppl_models.plots import choose_plots, close, figure_of
from ppl_models.posterior.labels.names import name_clusters

NAMES = ["brief", "lasting", "third"]
#: plots that speak of no single cluster, or of them by colour alone
SILENT = {"predictive", "similarity", "khat", "loo pit"}


def texts(figure) -> set[str]:
    """All that is written in a figure, its legends and ticks included."""
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text)}


def fake(fits, maker: str) -> xr.DataTree:
    """Small: ArviZ's plots take their time for every number."""
    options = {
        "gaussian_fit": {"covariance": "univariate", "rows": 60, "draws": 60, "clusters": 2},
        "count_fit": {"family": "poisson"},
    }
    tree = getattr(fits, maker)(**options.get(maker, {}))
    return fits.as_point(tree) if maker == "count_fit" else tree


@pytest.mark.parametrize("maker", ["gaussian_fit", "count_fit", "chains_fit"])
def test_plots_of_named_clusters_show_their_names(fits, maker: str) -> None:
    tree = fake(fits, maker)
    named = name_clusters(tree, NAMES[: tree["posterior"].sizes["cluster"]])
    for plot in choose_plots(named):
        made = plot.draw()
        shown = any(name in text for name in NAMES for text in texts(figure_of(made)))
        assert shown != (plot.name in SILENT), plot.name
        close(made)
