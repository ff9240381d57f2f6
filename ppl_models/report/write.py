"""The report of one fit, in the order of a reader's questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import xarray as xr

from ppl_models.errors import InputError
from ppl_models.plots.drawing.style import house_style
from ppl_models.report.checks import checks
from ppl_models.report.clusters import how_many, what_like, who_where
from ppl_models.report.numbers import comparison_numbers
from ppl_models.report.page import Block, checked_path, write_page
from ppl_models.report.reproduction import reproduce
from ppl_models.report.sampling import new_data, path_or_sampling
from ppl_models.report.trust import facts, trust

SECTIONS: tuple[Callable[[xr.DataTree], Iterator[Block]], ...] = (
    facts, trust, how_many, who_where, what_like, new_data, checks, path_or_sampling,
    comparison_numbers, reproduce,
)  # fmt: skip


def write_report(
    tree: xr.DataTree, path: str | Path, *, title: str | None = None, overwrite: bool = False
) -> Path:
    """Write everything a reader asks of a fit into one self-contained HTML file.

    The questions: can it be trusted, how many clusters are there, who is in which, what are they
    like, what would new data look like; then whether rows that were left out are predicted, how
    much the prior decides, how it was sampled or found, numbers to compare it
    with other fits, and how to do it again. What the tree does not hold is left out.

    Args:
        tree: a fit.
        path: the HTML file.
        title: heading of the page; by default the program and the method.
        overwrite: whether a file that exists may be replaced.

    Returns:
        The path of the report.

    Raises:
        InputError: when the tree has no posterior, or the file exists and `overwrite` is not set.

    Example:
        >>> write_report(tree, "report.html")  # doctest: +SKIP
    """
    if "posterior" not in tree.children:
        raise InputError("The tree has no group 'posterior': a report is written of a fit.")
    checked_path(path, overwrite=overwrite)
    program = str(tree.attrs.get("program", "A program"))
    method = str(tree.attrs.get("method", "an unknown method"))
    with house_style():
        return write_page(title or f"{program}, fitted by {method}", _blocks(tree), path,
                          overwrite=overwrite)  # fmt: skip


def _blocks(tree: xr.DataTree) -> Iterator[Block]:
    for section in SECTIONS:
        yield from section(tree)
