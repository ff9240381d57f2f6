"""Pareto k of leave-one-out cross-validation, row by row."""

from __future__ import annotations

import math
import warnings

import arviz_plots
import arviz_stats
import xarray as xr
from arviz_plots import PlotCollection
from arviz_stats.utils import ELPDData

from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.interactive import checked_backend, dots, finished
from ppl_models.plots.drawing.panels import figure_of
from ppl_models.plots.drawing.parameters import inches
from ppl_models.plots.drawing.reading import is_point
from ppl_models.plots.drawing.style import cluster_colors, headline
from ppl_models.posterior.result.schema import facts_of

FEWEST = 25  #: draws by which the tail of importance weights can be smoothed


def has_leave_one_out(tree: xr.DataTree) -> bool:
    """Whether leave-one-out can be computed: several units, and enough draws of their density."""
    if is_point(tree) or "log_likelihood" not in tree.children:
        return False
    sizes = tree["log_likelihood"].sizes
    units = math.prod(size for name, size in sizes.items() if name not in ("chain", "draw"))
    return sizes["chain"] * sizes["draw"] >= FEWEST and units > 1


def estimate_loo(tree: xr.DataTree) -> ELPDData:
    """ArviZ's leave-one-out estimate by row; its warning is left to Pareto k, which says more."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        return arviz_stats.loo(tree, pointwise=True, var_name=facts_of(tree).emission.site)


@register_plot(
    section="comparison",
    interactive=True,
    order=710,
    caption="Pareto k of each unit of the data. The estimate leans on the units with a large k.",
    serves=lambda tree, emission: has_leave_one_out(tree),
    computed=("loo",),
)
def plot_khat(
    tree: xr.DataTree,
    *,
    loo: ELPDData | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """ArviZ's Pareto k of every row under leave-one-out; above 0.7 it cannot be relied upon.

    Args:
        tree: a fit with draws.
        loo: ArviZ's result, if that has been computed.
        plot_collection: draw into this one, made by ArviZ (`PlotCollection.grid` or `wrap`), and
            return it.
        backend: "matplotlib", or "plotly" for a plot that answers to the mouse.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("markov_chain", ["ab", "abb"], method="exact", seed=0, chains=2, draws=30,
        ...            predictive=0)
        >>> plot_khat(tree).viz["plot"].item().get_xlabel()
        'sequence'
    """
    lively = checked_backend(backend)
    estimate = estimate_loo(tree) if loo is None else loo
    size = dots if lively else inches
    made = arviz_plots.plot_khat(
        estimate, plot_collection=plot_collection,
        backend=backend, visuals={"hlines": True}, color=cluster_colors(1)[0],
        figure_kwargs=size(8.0, 3.6),
    )  # fmt: skip
    if lively:
        return finished(made, "Reliability of leave-one-out: Pareto k")
    axes = figure_of(made).axes[0]
    axes.set(xlabel=str(estimate.pareto_k.dims[0]), ylabel="Pareto k")
    high = int((estimate.pareto_k > estimate.good_k).sum())
    note = f"{high} of {estimate.n_data_points} are above {estimate.good_k:.2f}"
    headline(axes, "Reliability of leave-one-out: Pareto k", note)
    return made
