"""The section on leave-one-out predictions and prior sensitivity."""

from __future__ import annotations

from collections.abc import Iterator

from ppl_models.diagnostics.checks import priors_are_flat, sensitivity
from ppl_models.plots.drawing.reading import is_restorable
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection

PRIOR = (
    "How far the posterior of each quantity moves when the prior, or the likelihood, is given a "
    "little more weight. Quantities with a value above 0.05 for the prior depend on it."
)
MOST = 20  #: quantities shown


def prior_sensitivity(fit: FittedModel) -> Iterator[Block]:
    """The quantities that are most sensitive to the prior, for fits with draws."""
    tree = fit.tree
    if fit.loo is None or not is_restorable(tree) or "log_prior" not in tree.children:
        return
    if priors_are_flat(tree):
        return
    table = sensitivity(tree)
    shown = table.sort_values("prior", ascending=False, kind="stable").head(MOST)
    yield Block("Prior sensitivity", PRIOR, table=shown, level=3)


CHECKS = ReportSection(
    "checks", lambda fit: f"Held-out {fit.facts.unit}s and the prior",
    details=prior_sensitivity,
)  # fmt: skip
