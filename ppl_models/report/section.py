"""A section of a report: text and tables, and all plots that name the section.

The report shows every plot that was chosen for a fit: :func:`section_blocks` draws all those
whose declaration names the section, or says on the page why one is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from ppl_models.errors import InputError
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


def plot_blocks(name: Section, fit: FittedModel) -> Iterator[Block]:
    """A block with its caption for each plot of a section, or why the plot is left out."""
    for chosen in fit.plots:
        if chosen.plot.section != name:
            continue
        try:
            computed = {option: getattr(fit, option) for option in chosen.plot.computed}
            backend = {"backend": "plotly"} if fit.interactive and chosen.interactive else {}
            figure = chosen.draw(**computed, **backend)
        except InputError as error:
            yield Block("", f"The plot `{chosen.name}` is left out: {error}", tone="warning")
        else:
            yield Block("", figures=(figure,), captions=(chosen.caption,))
