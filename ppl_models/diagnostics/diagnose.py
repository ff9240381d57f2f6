"""The diagnosis of a fit in words: what is wrong, and what to do about it.

Convergence is judged on label-invariant quantities (:mod:`.label_invariants`). Only if these agree
do the parameters of components show whether labels have switched.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd
import xarray as xr

from ppl_models.diagnostics.draws import examine_draws
from ppl_models.diagnostics.findings import SEVERITIES, Finding
from ppl_models.diagnostics.point import examine_point
from ppl_models.errors import InputError
from ppl_models.posterior.labels.allocations import Responsibilities

#: Number of rows of the table in the text.
SHOWN = 8


@dataclass(frozen=True)
class Diagnosis:
    """The result of :func:`diagnose`; printing shows all findings.

    Attributes:
        trustworthy: whether there is no problem; warnings leave it true.
        verdict: one sentence.
        findings: problems first, then warnings, then passed checks.
        table: for draws, ``kind``, ``r_hat``, ``ess_bulk``, ``ess_tail`` of every scalar; for a
            point, ``objective``, ``iterations``, ``converged``, ``best`` of every start.
    """

    trustworthy: bool
    verdict: str
    findings: list[Finding]
    table: pd.DataFrame = field(repr=False)

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def __str__(self) -> str:
        """The diagnosis as text for a terminal."""
        lines = [self.verdict, ""]
        for finding in self.findings:
            lines.append(f"  {finding.severity:<8} {finding.what}")
            if finding.advice:
                lines.append(f"           -> {finding.advice}")
        if len(self.table):
            shown = _worst(self.table)
            lines += ["", shown.to_string(float_format=lambda value: f"{value:.4g}")]
            if len(shown) < len(self.table):
                lines.append(f"(the {len(shown)} worst of {len(self.table)})")
        return "\n".join(lines)


def diagnose(
    tree: xr.DataTree, *, responsibilities: Responsibilities | None = None, seed: int = 0
) -> Diagnosis:
    """Check whether a fit can be trusted, and report what is wrong and what to do.

    For draws: convergence of label-invariant quantities (rank-normalised split R-hat and effective
    sample sizes), divergences, tree depth and energy, label switching, and empty components. For a
    point: agreement of starts, convergence of the best one, and empty or collapsed components;
    R-hat is not computed for a point. Vehtari, Gelman, Simpson,
    Carpenter and Bürkner (2021), Rank-normalization, folding, and localization; Betancourt (2017),
    A conceptual introduction to Hamiltonian Monte Carlo.

    Args:
        tree: a fit.
        responsibilities: ``(tree, rows=, draws=) -> (draw, row, cluster)``; default: computed by
            the fit's program.
        seed: of the sampled rows and pairs of rows.

    Raises:
        InputError: the tree is not a fit.

    >>> from ppl_models import fit
    >>> x = [-1.0, -0.9, -1.1, -0.8, 9.0, 9.1, 8.9, 9.2]
    >>> print(diagnose(fit("gaussian_mixture", x, method="em", seed=0, clusters=2)).verdict)
    This fit can be trusted.
    """
    if "posterior" not in tree.children:
        raise InputError(
            "The tree has no group 'posterior', so there is nothing to diagnose: give the result "
            "of a fit."
        )
    if tree.attrs.get("kind") == "point":
        return concluded(*examine_point(tree))
    return concluded(*examine_draws(tree, responsibilities, seed))


def concluded(findings: list[Finding], table: pd.DataFrame) -> Diagnosis:
    """The diagnosis with findings ordered by severity, and a verdict in one sentence."""
    ordered = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    worst = ordered[0].severity if ordered else "ok"
    if worst == "problem":
        verdict = f"Do not trust this fit: {_as_clause(ordered[0].what)}"
    elif worst == "warning":
        verdict = f"This fit can be used with care: {_as_clause(ordered[0].what)}"
    else:
        verdict = "This fit can be trusted."
    return Diagnosis(worst != "problem", verdict, ordered, table)


def _as_clause(sentence: str) -> str:
    """The sentence in lower case, for use after a colon."""
    return sentence[:1].lower() + sentence[1:]


def _worst(table: pd.DataFrame) -> pd.DataFrame:
    """The first rows of a table of starts, or the worst rows of a table of draws."""
    if "r_hat" not in table:
        return table.head(SHOWN)
    badness = table["r_hat"].fillna(0).round(2)
    order = table.assign(badness=badness).sort_values(
        ["badness", "ess_bulk"], ascending=[False, True], kind="stable"
    )
    return table.loc[order.index].head(SHOWN)
