"""What an optimising method optimises: a name for axes and tables, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["maximise", "minimise"]


@dataclass(frozen=True)
class Objective:
    """An objective function, by name.

    Its values are stored as they are, never negated: ``starts["objective"]`` of k-means is the
    sum of squares itself, and falls.

    Args:
        name: for instance "log posterior density", "log-likelihood", "evidence lower bound",
            "within-cluster sum of squares".
        direction: whether larger values ("maximise") or smaller ones ("minimise") are better.

    >>> Objective("within-cluster sum of squares", "minimise").sign
    -1
    """

    name: str
    direction: Direction = "maximise"

    @property
    def sign(self) -> int:
        """1 or -1: what values are multiplied by so that larger is better."""
        return 1 if self.direction == "maximise" else -1


LOG_POSTERIOR = Objective("log posterior density")
LOG_LIKELIHOOD = Objective("log-likelihood")
LOG_JOINT = Objective("log joint density of assignments and parameters")
CLASSIFICATION = Objective("classification log-likelihood")
EVIDENCE_BOUND = Objective("evidence lower bound")
SUM_OF_SQUARES = Objective("within-cluster sum of squares", "minimise")
DP_MEANS_COST = Objective("DP-means cost", "minimise")
