"""Whether rows were predicted that the fit had not seen, and how much the prior decided."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from ppl_models.errors import InputError
from ppl_models.plots.choose import many_draws
from ppl_models.plots.loo_pit import plot_loo_pit
from ppl_models.plots.drawing.reading import is_point
from ppl_models.report.page import Block

PIT = (
    "Every observed cell's place among predictions that were made without its row. A well "
    "calibrated fit gives uniform places, whose curve stays near zero; p is the probability of one "
    "at least so far from it, if they are uniform."
)
PRIOR = (
    "How far each quantity's posterior moves when the prior, or the likelihood, is weighed a "
    "little more. A quantity that the prior moves (above 0.05) is decided by the prior too."
)
MOST = 20


def checks(tree: xr.DataTree) -> Iterator[Block]:
    """The section on leave-one-out predictions and on the prior, for fits with draws."""
    from ppl_models.diagnostics.checks import loo_pit, sensitivity

    if is_point(tree) or not {"program", "arguments", "fixed"} <= set(tree.attrs):
        return  # no draws, or no program to ask
    if "log_likelihood" in tree.children and not many_draws(tree):
        return
    try:
        places = loo_pit(tree)
    except InputError:  # sequences, or rows with latents of their own
        places = None
    if places is not None:
        yield Block("Are rows predicted well that were left out?", figures=(plot_loo_pit(places),),
                    captions=(PIT,))  # fmt: skip
    if "log_prior" in tree.children and "log_likelihood" in tree.children:
        try:
            table = sensitivity(tree)
        except InputError:  # flat priors, which decide nothing
            return
        shown = table.sort_values("prior", ascending=False, kind="stable").head(MOST)
        yield Block("How much does the prior decide?", PRIOR, table=shown)
