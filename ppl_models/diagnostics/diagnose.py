"""The diagnosis of a fit in words: what is wrong, and what to do about it.

Convergence is judged on label-invariant quantities (:mod:`.label_invariants`); the parameters of
components only then tell whether labels are in order.
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

#: Rows of the table that the text shows.
SHOWN = 8


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found; printing it shows all of it.

    Attributes:
        trustworthy: whether nothing is a problem; warnings leave it true.
        verdict: one sentence.
        findings: problems first, then warnings, then what is in order.
        table: for draws: ``kind``, ``r_hat``, ``ess_bulk``, ``ess_tail`` a number; for a point:
            ``objective``, ``iterations``, ``converged``, ``kept`` a start.
    """

    trustworthy: bool
    verdict: str
    findings: list[Finding]
    table: pd.DataFrame = field(repr=False)

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def __str__(self) -> str:
        """Readable in a terminal."""
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
    """Say whether a fit can be trusted, what is wrong and what to do.

    For draws: whether chains agree on label-invariant quantities (rank-normalised split R-hat and
    effective sample sizes), divergences, tree depth and energy, whether labels are in order,
    whether components are empty. For a point: whether starts agree, whether the kept one converged,
    empty and collapsed components; R-hat is never computed for a point. Vehtari, Gelman, Simpson,
    Carpenter and Bürkner (2021), Rank-normalization, folding, and localization; Betancourt (2017),
    A conceptual introduction to Hamiltonian Monte Carlo.

    Args:
        tree: a fit.
        responsibilities: ``(tree, rows=, draws=) -> (draw, row, cluster)``; default: computed by
            the fit's program.
        seed: of the rows and pairs of rows that are followed.

    Raises:
        InputError: when the tree is no fit.

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
    """A diagnosis of findings in order of severity, with a verdict in one sentence."""
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
    """The sentence in lower case, to stand after a colon."""
    return sentence[:1].lower() + sentence[1:]


def _worst(table: pd.DataFrame) -> pd.DataFrame:
    """The first rows of a table of starts, the worst of a table of draws."""
    if "r_hat" not in table:
        return table.head(SHOWN)
    badness = table["r_hat"].fillna(0).round(2)
    order = table.assign(badness=badness).sort_values(
        ["badness", "ess_bulk"], ascending=[False, True], kind="stable"
    )
    return table.loc[order.index].head(SHOWN)
