"""A section of a report: text and tables, and all plots that name the section.

The report shows every plot that was chosen for a fit: :func:`section_blocks` draws all those
whose declaration names the section, or says on the page why one is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots.choose import ChosenPlot
from ppl_models.plots.declaration import Section
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block

Blocks = Callable[[FittedModel], Iterator[Block]]


def nothing(fit: FittedModel) -> Iterator[Block]:
    """No blocks."""
    yield from ()


@dataclass(frozen=True)
class ReportSection:
    """One section; it is left out where it has neither blocks nor plots.

    Args:
        name: by which plots name it.
        heading: of the fit.
        opening: blocks before the plots, the first of them below the heading.
        details: blocks after the plots.
    """

    name: Section
    heading: Callable[[FittedModel], str]
    opening: Blocks = nothing
    details: Blocks = nothing


def section_blocks(section: ReportSection, fit: FittedModel) -> Iterator[Block]:
    """The blocks of a section, the first of them with its heading."""
    blocks = chain(section.opening(fit), plot_blocks(section.name, fit), section.details(fit))
    first = next(blocks, None)
    if first is None:
        return
    heading = section.heading(fit)
    if first.heading:
        yield Block(heading)
        yield first
    else:
        yield replace(first, heading=heading, level=2)
    yield from blocks


def _drawn(chosen: ChosenPlot, computed: dict[str, Any], *, interactive: bool) -> PlotCollection:
    """The plot, interactive if that is wanted and the plot supports it."""
    if interactive and chosen.plot.interactive:
        try:
            return chosen.draw(**computed, backend="plotly")
        except InputError:  # as of clusters of one feature
            pass
    return chosen.draw(**computed)


def plot_blocks(name: Section, fit: FittedModel) -> Iterator[Block]:
    """A block with its caption for each plot of a section, or why the plot is left out."""
    for chosen in fit.plots:
        if chosen.plot.section != name:
            continue
        try:
            computed = {option: getattr(fit, option) for option in chosen.plot.computed}
            figure = _drawn(chosen, computed, interactive=fit.interactive)
        except InputError as error:
            yield Block("", f"The plot `{chosen.name}` is left out: {error}", tone="warning")
        else:
            yield Block("", figures=(figure,), captions=(chosen.caption,))
