"""The section on the computation: the path of an optimisation, or how draws were sampled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection


def sampler_statistics(fit: FittedModel) -> Iterator[Block]:
    """Divergences, acceptance rate and trajectory lengths of the sampler."""
    if fit.is_point or "sample_stats" not in fit.tree.children:
        return
    statistics = fit.tree["sample_stats"].to_dataset()
    parts = []
    if "diverging" in statistics:
        total = int(np.asarray(statistics["diverging"]).sum())
        count = "no" if total == 0 else f"{total:,}"
        parts.append(f"{count} divergent transition{'' if total == 1 else 's'}")
    if "acceptance_rate" in statistics:
        parts.append(f"mean acceptance rate {float(statistics['acceptance_rate'].mean()):.2f}")
    if "n_steps" in statistics:
        parts.append(f"{float(statistics['n_steps'].mean()):.0f} leapfrog steps a draw on average")
    text = ", ".join(parts)
    if text:
        yield Block("", f"{text[0].upper()}{text[1:]}.")


COMPUTATION = ReportSection(
    "computation",
    lambda fit: "How the optimum was found" if fit.is_point else "How the posterior was sampled",
    sampler_statistics,
)
