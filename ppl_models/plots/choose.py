"""The plots that a fit can show, chosen by their declarations."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.plots.declaration import Plot, registered_plots
from ppl_models.posterior.result.schema import EmissionFacts, facts_of, row_weights

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ChosenPlot:
    """A plot and the fit, or the emission of a fit, that it draws.

    Attributes:
        name: the plot's name; of further emissions with the site's name.
        plot: its declaration.
        tree: the fit.
        site: the observed site that is drawn; None where the plot is of the fit as a whole.
        interactive: whether it is drawn with ``backend="plotly"`` too.

    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 9, 8, 9], method="em", seed=0, clusters=2)
    >>> (first, *_) = choose_plots(tree)
    >>> first.name, first.site
    ('profiles', 'x')
    """

    name: str
    plot: Plot
    tree: xr.DataTree
    site: str | None = None
    interactive: bool = False

    @property
    def caption(self) -> str:
        """What the plot shows."""
        caption = self.plot.caption
        text = caption if isinstance(caption, str) else caption(self.tree)
        if row_weights(self.tree) is None or self.plot.section == "computation":
            return text
        return f"{text} Where rows are shown, each is drawn once, however often it counts."

    def draw(self, **options: Any) -> PlotCollection:
        """The plot; options are those of the plot's function."""
        site = {} if self.site is None else {"site": self.site}
        return self.plot.draw(self.tree, **site, **options)


def choose_plots(tree: xr.DataTree) -> list[ChosenPlot]:
    """The plots that this fit can show, those of its components first.

    A point (EM, k-means) has no draws, so it gets no traces, ranks, forests or Pareto k. An
    emission gets the plots that its family declares, whatever the program calls its sites.

    Args:
        tree: any fit.

    Returns:
        Plots in order, each with ``name``, ``caption`` and ``draw()``.

    Raises:
        InputError: the tree is no fit.

    >>> from ppl_models import fit
    >>> tree = fit("gaussian_mixture", [0.1, 0.3, 5.2, 4.9], method="em", seed=0, clusters=2,
    ...            starts=2, predictive=0)
    >>> [picture.name for picture in choose_plots(tree)]
    ['clusters', 'responsibilities', 'path']
    """
    import_plots()
    facts = facts_of(tree)
    chosen = []
    for plot in sorted(registered_plots().values(), key=lambda plot: plot.order):
        emissions = facts.emissions if plot.each_emission else facts.emissions[:1]
        for emission in emissions:
            if plot.serves(tree, emission):
                chosen.append(_chosen(plot, tree, emission, main=emission is facts.emission))
    return chosen


def _chosen(plot: Plot, tree: xr.DataTree, emission: EmissionFacts, *, main: bool) -> ChosenPlot:
    name = plot.name if main else f"{plot.name}: {emission.site}"
    asked = plot.interactive
    interactive = asked if isinstance(asked, bool) else asked(tree, emission)
    site = emission.site if plot.each_emission else None
    return ChosenPlot(name, plot, tree, site, interactive)


def plot_modules() -> Mapping[str, str]:
    """Function names of the plots of this folder and their modules: ``plot_NAME`` of ``NAME.py``.

    Read from the source, so that listing them imports nothing.

    >>> plot_modules()["plot_clusters"]
    'ppl_models.plots.clusters'
    """
    modules = {}
    for path in sorted(FOLDER.rglob("*.py")):
        function = f"plot_{path.stem}"
        if re.search(rf"^def {function}\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            folders = path.relative_to(FOLDER).with_suffix("").parts
            modules[function] = ".".join((__package__ or "ppl_models.plots", *folders))
    return modules


def import_plots() -> None:
    """Import the plots of this folder, which registers them."""
    for module in plot_modules().values():
        importlib.import_module(module)
