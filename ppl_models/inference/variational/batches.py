"""Mini-batches whose steps are updates of variational Bayes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl_models.inference.em.loop import Plan
from ppl_models.inference.em.mini_batches import MOST_OF_SAMPLE, MiniBatches
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Expectations
from ppl_models.inference.variational.loop import BOUND, Updates, run_variational, sites_of
from ppl_models.program.model import Globals


class VariationalBatches(MiniBatches):
    """As `MiniBatches`; values are plug-in values and what goes with them."""

    def __init__(self, problem: Problem, plan: Plan, rows: int | None, seed: int, starts: int):
        super().__init__(problem, plan, rows, seed, starts)
        self._updates = Updates(problem, plan.links, self.counted)

    def expected(self, values: Mapping[str, Any], chunks: Chunks) -> Expectations:
        """The E-step on one batch, in double precision on the host."""
        return super().expected(sites_of(values), chunks)

    def _climbed(self, sample: Problem, start: Globals, tolerance: float) -> dict[str, np.ndarray]:
        """Optimum on a sample of the rows, from every start."""
        return run_variational(
            sample,
            start,
            links=self.plan.links,
            free=(),
            iterations=MOST_OF_SAMPLE,
            tolerance=tolerance,
            label="a sample of the rows",
        ).values

    def maximised(self, values: Mapping[str, Any], expected: Expectations) -> dict[str, np.ndarray]:
        """The update by statistics of all rows."""
        return self._updates(values, expected)

    def log_prior(self, values: Mapping[str, Any]) -> float:
        """The evidence bound minus the rows' log-normalisers."""
        return float(values[BOUND])
