"""The outcome of one group: its fit, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Outcome:
    """One group's fit.

    Args:
        values: of the global sites, ``(chain, draw, ...)``; empty where the group failed.
        lp: log posterior density, ``(chain, draw)``.
        log_likelihood: of every row at every so-many-th draw, ``(chain, draw, row)``.
        every: that number.
        responsibilities: ``(row, cluster)``, mean over draws; None where nothing is assigned.
        clusters: number of clusters; 0 where nothing is assigned.
        facts: numbers for the table of groups: converged, iterations, ...
        failure: why there is no fit.
        notes: sentences for the reader.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    lp: np.ndarray | None = None
    log_likelihood: np.ndarray | None = None
    every: int = 1
    responsibilities: np.ndarray | None = None
    clusters: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    notes: tuple[str, ...] = ()
