"""A fit and its derived quantities, each computed once for all sections of a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import xarray as xr
from arviz_stats.utils import ELPDData

from ppl_models.plots.choose import ChosenPlot, choose_plots
from ppl_models.plots.drawing.reading import is_point
from ppl_models.plots.sampling.khat import estimate_loo, has_leave_one_out
from ppl_models.posterior.result.schema import FitFacts, facts_of

if TYPE_CHECKING:
    from ppl_models.diagnostics.diagnose import Diagnosis


@dataclass(frozen=True)
class FittedModel:
    """A fit and its derived quantities, computed when a section first asks for them.

    Args:
        tree: the fit.
        interactive: whether plots that can answer to the mouse do.
    """

    tree: xr.DataTree
    interactive: bool = False

    @cached_property
    def facts(self) -> FitFacts:
        """The facts of the fit."""
        return facts_of(self.tree)

    @property
    def is_point(self) -> bool:
        """Whether it is one point rather than draws."""
        return is_point(self.tree)

    @property
    def clusters(self) -> int:
        """Number of clusters; 0 for programs without clusters."""
        return self.facts.clusters

    @cached_property
    def plots(self) -> list[ChosenPlot]:
        """The plots that the fit can show."""
        return choose_plots(self.tree)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """Whether the fit can be trusted."""
        from ppl_models.diagnostics.diagnose import diagnose

        return diagnose(self.tree)

    @cached_property
    def loo(self) -> ELPDData | None:
        """Leave-one-out cross-validation; None for a point, or without pointwise densities."""
        return estimate_loo(self.tree) if has_leave_one_out(self.tree) else None

    @cached_property
    def places(self) -> xr.Dataset:
        """Leave-one-out probability integral transforms."""
        from ppl_models.diagnostics.checks import loo_pit

        return loo_pit(self.tree)

    @cached_property
    def probabilities(self) -> xr.DataArray:
        """Probabilities of hidden states at every step."""
        from ppl_models.posterior.paths import state_probabilities

        return state_probabilities(self.tree, draws=100)

    def attribute(self, name: str) -> dict[str, Any]:
        """A JSON attribute of the tree as a dictionary; empty where it is missing."""
        text = self.tree.attrs.get(name, "")
        value = json.loads(text) if isinstance(text, str) and text else text
        return value if isinstance(value, dict) else {}
