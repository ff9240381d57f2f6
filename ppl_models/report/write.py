"""The report of one fit, section by section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import xarray as xr

from ppl_models.errors import InputError
from ppl_models.plots.drawing.interactive import require_plotly
from ppl_models.plots.drawing.style import house_style
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block, checked_path, write_page
from ppl_models.report.section import ReportSection, section_blocks
from ppl_models.report.sections.assignments import ASSIGNMENTS
from ppl_models.report.sections.checks import CHECKS
from ppl_models.report.sections.comparison import COMPARISON
from ppl_models.report.sections.components import COMPONENTS
from ppl_models.report.sections.computation import COMPUTATION
from ppl_models.report.sections.number_of_clusters import NUMBER_OF_CLUSTERS
from ppl_models.report.sections.overview import OVERVIEW
from ppl_models.report.sections.predictions import PREDICTIONS
from ppl_models.report.sections.reproduction import REPRODUCTION
from ppl_models.report.sections.trust import TRUST

SECTIONS: tuple[ReportSection, ...] = (
    OVERVIEW, TRUST, NUMBER_OF_CLUSTERS, ASSIGNMENTS, COMPONENTS, PREDICTIONS, CHECKS, COMPUTATION,
    COMPARISON, REPRODUCTION,
)  # fmt: skip


def write_report(
    tree: xr.DataTree,
    path: str | Path,
    *,
    title: str | None = None,
    interactive: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a report of a fit as one self-contained HTML file.

    Its sections: what was fitted, whether the fit can be trusted, how many clusters there are,
    which cluster each row is in, what the clusters are like, what data the model predicts, whether
    held-out rows are predicted and what the prior decides, how the posterior was sampled or the
    optimum found, numbers for model comparison, and how to reproduce the fit. Sections for which
    the tree holds nothing are left out; every plot of ``choose_plots`` is shown.

    The order is that of Gelman et al. (2020), Bayesian Workflow, arXiv:2011.01808.

    Args:
        tree: a fit.
        path: the HTML file.
        title: heading of the page; by default the program and the method.
        interactive: plots of clusters, traces, ranks, intervals and leave-one-out answer to the
            mouse: names of rows, enlarging, hiding clusters. The page then holds plotly.js (five
            megabytes) and still needs no network.
        overwrite: whether a file that exists may be replaced.

    Returns:
        The path of the report.

    Raises:
        InputError: when the tree has no posterior, the file exists and `overwrite` is not set,
            or plotly is not installed.

    Example:
        >>> import tempfile
        >>> from ppl_models import fit
        >>> tree = fit("gaussian_mixture", [0.1, 0.3, 5.2, 4.9], method="em", seed=0, clusters=1,
        ...            starts=1, predictive=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(tree, f"{folder}/report.html").name
        'report.html'
    """
    if "posterior" not in tree.children:
        raise InputError("The tree has no group 'posterior': a report is written of a fit.")
    checked_path(path, overwrite=overwrite)
    if interactive:
        require_plotly()
    program = str(tree.attrs.get("program", "A program"))
    method = str(tree.attrs.get("method", "an unknown method"))
    with house_style():
        heading = title or f"{program}, fitted by {method}"
        return write_page(heading, _blocks(tree, interactive), path, overwrite=overwrite)


def _blocks(tree: xr.DataTree, interactive: bool) -> Iterator[Block]:
    fit = FittedModel(tree, interactive)
    for section in SECTIONS:
        yield from section_blocks(section, fit)
