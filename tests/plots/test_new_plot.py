"""A plot is one file: this one defines a plot, for an emission that nobody else knows.

No file of the package names it. It is chosen, stands in its section of the report with its caption,
and is a function of ``ppl_models.plots``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import xarray as xr
from arviz_plots import PlotCollection

import ppl_models.plots
from ppl_models.distributions.described import Described
from ppl_models.distributions.registry import family_class, family_name
from ppl_models.errors import InputError
from ppl_models.plots import choose_plots, register_plot
from ppl_models.plots.declaration import SECTIONS, forget_plot
from ppl_models.plots.drawing.panels import new_panels, panel
from ppl_models.posterior.result.schema import (
    EmissionFacts,
    FitFacts,
    ParameterFacts,
    emission_parameters,
)
from ppl_models.report import write_report

CAPTION = "The tooth of every gear, as far as it is known & worn."


class Gears(Described):
    """An emission class of somebody else's."""

    parameter_dims = {"tooth": 0}


def draw_teeth(tree: xr.DataTree, *, site: str | None = None, label: str = "tooth"):
    """The posterior mean of each tooth."""
    made = new_panels(size=(3, 2))
    values = emission_parameters(tree, site)["tooth"].mean(["chain", "draw"])
    panel(made).plot(values.values, "o")
    panel(made).set_ylabel(label)
    return made


def plot_gear_teeth(tree: xr.DataTree, **options) -> PlotCollection:
    """The posterior mean of each tooth."""
    return draw_teeth(tree, **options)


def of_gears(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    return family_class(emission.family) is Gears


@pytest.fixture(params=SECTIONS)
def section(request) -> Iterator[str]:
    """The plot, registered for one section of the report after the other."""
    register_plot(
        section=request.param, caption=CAPTION, serves=of_gears, order=1, each_emission=True
    )(plot_gear_teeth)
    yield request.param
    forget_plot("gear teeth")


def workshop(fits, sites: tuple[str, ...] = ("creak",)) -> xr.DataTree:
    """A point of a program whose sites have names that no file of the package knows."""
    generator = np.random.default_rng(0)
    sample, emissions, posterior, data = ("chain", "draw"), [], {}, {}
    for number, site in enumerate(sites):
        name = f"knurl{number}"
        posterior[name] = ((*sample, "cluster"), generator.normal(size=(1, 1, 4)))
        data[site] = ("bench", generator.normal(size=9))
        parameters = {"tooth": ParameterFacts(name, False, ("cluster",))}
        emissions.append(
            EmissionFacts(site, family_name(Gears), "Reals", ("bench",), "cluster", None,
                          parameters)
        )  # fmt: skip
    groups = {
        "posterior": xr.Dataset(posterior),
        "sample_stats": xr.Dataset({"lp": (sample, np.zeros((1, 1)))}),
        "observed_data": xr.Dataset(data),
    }
    facts = FitFacts("bench", "sprocket", None, 4, 0, "soft", None, tuple(emissions))
    made = fits.trees.with_attributes(xr.DataTree.from_dict(groups), "workshop", 0, facts)
    made.attrs |= {"kind": "point", "method": "map"}
    return made


def test_it_is_chosen_for_its_emission_alone(fits, section):
    (picture,) = [p for p in choose_plots(workshop(fits)) if p.name == "gear teeth"]
    assert (picture.caption, picture.plot.section, picture.site) == (CAPTION, section, "creak")
    axes = panel(picture.draw(label="worn"))
    assert axes.get_ylabel() == "worn" and len(axes.lines[0].get_xdata()) == 4
    others = choose_plots(fits.as_point(fits.gaussian_fit(rows=40, draws=8)))
    assert "gear teeth" not in [p.name for p in others]


def test_every_emission_of_its_class_gets_one(fits, section):
    names = [p.name for p in choose_plots(workshop(fits, ("creak", "rattle")))]
    assert names == ["gear teeth", "gear teeth: rattle"]


def test_the_report_shows_it_in_its_section_with_its_caption(fits, section, tmp_path):
    text = write_report(workshop(fits), tmp_path / "r.html").read_text(encoding="utf-8")
    escaped = CAPTION.replace("&", "&amp;")
    assert text.count(f"<figcaption>{escaped}</figcaption>") == 1
    assert len(re.findall("<img ", text)) == 1
    before = text[: text.index(escaped)]
    headings = {name: heading for name, heading in section_headings(fits)}
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", before)[-1] == headings[section]


def section_headings(fits) -> list[tuple[str, str]]:
    from ppl_models.report.fitted import FittedModel
    from ppl_models.report.write import SECTIONS as REPORTED

    fit = FittedModel(workshop(fits))
    return [(part.name, part.heading(fit)) for part in REPORTED]


def test_the_report_has_the_sections_that_plots_may_name(fits):
    assert [name for name, _ in section_headings(fits)] == list(SECTIONS)


def test_it_is_a_function_of_the_room(fits, section):
    made = ppl_models.plots.plot_gear_teeth(workshop(fits))
    assert isinstance(made, PlotCollection)
    assert "plot_gear_teeth" in dir(ppl_models.plots)


def test_why_it_is_not_drawn_is_said_on_the_page(fits, section, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise InputError("the gears <jammed>: oil them.")

    monkeypatch.setitem(globals(), "draw_teeth", refuse)
    text = write_report(workshop(fits), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The plot <code>gear teeth</code> is left out: the gears &lt;jammed&gt;" in text


def test_a_section_that_no_report_has_is_refused():
    with pytest.raises(InputError, match="no section 'appendix'"):
        register_plot(section="appendix", caption="", serves=of_gears)


def test_what_no_file_defines_is_no_plot():
    with pytest.raises(AttributeError, match="plot_gear_teeth"):
        ppl_models.plots.plot_gear_teeth  # noqa: B018
