"""The declaration of a plot, which stands beside its function: a plot is one file.

    @register_plot(section="components", order=10, caption="...", serves=...)
    def plot_something(tree, *, plot_collection=None, backend="matplotlib"):
        ...

A file ``NAME.py`` of this folder that defines ``plot_NAME`` is found by its name, and its function
is ``ppl_models.plots.plot_NAME``. A plot of a script, a notebook or a test is registered by the
same call. The chooser and the report read nothing but these declarations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots.drawing.style import styled
from ppl_models.posterior.result.schema import EmissionFacts

Section = Literal[
    "overview", "trust", "number of clusters", "assignments", "components", "predictions",
    "checks", "computation", "comparison", "reproduction",
]  # fmt: skip
SECTIONS: tuple[Section, ...] = get_args(Section)  #: of the report, in reading order
Serves = Callable[[xr.DataTree, EmissionFacts], bool]
Caption = str | Callable[[xr.DataTree], str]

_REGISTERED: dict[str, Plot] = {}


@dataclass(frozen=True)
class Plot:
    """The declaration of a plot.

    Attributes:
        name: what it is called where plots are listed.
        draw: the function: a tree and options by name to an ArviZ ``PlotCollection``.
        section: where the report shows it.
        caption: what the plot shows and how to read it; a function of the tree where that
            depends on the fit.
        order: plots of a section, and of the whole list, stand by rising order.
        serves: whether a fit, and one of its emissions, can be drawn.
        each_emission: whether every observed site gets a plot of its own, drawn with ``site=``;
            else ``serves`` is asked about the main one, and there is at most one picture.
        computed: options of the function that the report computes once for the whole page and
            hands over: "loo", "places" (of leave-one-out transforms), "probabilities" (of states).
        interactive: whether the function draws with ``backend="plotly"`` too; asked like
            ``serves`` where not every fit is drawn that way.

    >>> import ppl_models.plots.path
    >>> plot = registered_plots()["path"]
    >>> plot.section, plot.draw.__name__
    ('computation', 'plot_path')
    """

    name: str
    draw: Callable[..., PlotCollection]
    section: Section
    caption: Caption
    order: int
    serves: Serves
    each_emission: bool = False
    computed: tuple[str, ...] = ()
    interactive: bool | Serves = False


def register_plot[F: Callable[..., PlotCollection]](
    *,
    section: Section,
    caption: Caption,
    serves: Serves,
    order: int = 1000,
    name: str | None = None,
    each_emission: bool = False,
    computed: tuple[str, ...] = (),
    interactive: bool | Serves = False,
) -> Callable[[F], F]:
    """Declare the decorated function as a plot of fits, drawn in the house style.

    Args:
        section: of the report, one of ``SECTIONS``.
        caption: see :class:`Plot`.
        serves: ``(tree, emission) -> bool``, read off facts and groups of the tree.
        order: see :class:`Plot`; by default after all others.
        name: by default that of the function, without "plot\\_".
        each_emission: see :class:`Plot`.
        computed: see :class:`Plot`.
        interactive: see :class:`Plot`.

    Raises:
        InputError: a section that the report does not have.

    >>> from ppl_models.plots.drawing.panels import new_panels
    >>> @register_plot(section="components", caption="Nothing.", serves=lambda *_: False)
    ... def plot_of_nothing(tree):
    ...     return new_panels(size=(1, 1))
    >>> registered_plots()["of nothing"].section
    'components'
    >>> forget_plot("of nothing")
    """
    if section not in SECTIONS:
        raise InputError(
            f"the report has no section {section!r}: choose one of {', '.join(SECTIONS)}"
        )

    def register(function: F) -> F:
        drawn: Any = styled(function)
        label = name or function.__name__.removeprefix("plot_").replace("_", " ")
        _REGISTERED[label] = Plot(
            label, drawn, section, caption, order, serves, each_emission, computed, interactive
        )
        return drawn

    return register


def registered_plots() -> dict[str, Plot]:
    """The plots that have been registered in this process so far, by name."""
    return dict(_REGISTERED)


def forget_plot(name: str) -> None:
    """Remove a registered plot, which then is neither chosen nor reported."""
    _REGISTERED.pop(name, None)
