"""What a method answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppl_models.inference.method import Kind, Method, Treatment
from ppl_models.inference.objective import Objective


@dataclass
class Result:
    """What a method found.

    Args:
        values: global site -> ``(chain, draw, ...)``.
        method: the declaration of the method. Of point methods there is one chain of one draw.
        sample_stats: name -> ``(chain, draw)``.
        starts: name -> (dims, array), of point methods.
        path: site -> ``(iteration, ...)``, of the best start of point methods.
        assignment: ``(chain, draw, row)`` where the method draws or fixes assignments.
        exchangeable: whether clusters mean the same in all draws but for their order, so that
            relabelling makes sense.
        log_prior: site -> ``(chain, draw)``, of sites whose prior the method replaces.
        notes: sentences for the reader: collapsed components, starts that disagree, ...
        attributes: numbers, and texts, that belong to the fit as a whole, such as ``log_evidence``.
        objective: what was optimised, in the fit or in the search for starts (default: what the
            method declares).
    """

    values: Mapping[str, np.ndarray]
    method: Method
    sample_stats: Mapping[str, np.ndarray]
    starts: Mapping[str, tuple[tuple[str, ...], np.ndarray]] = field(default_factory=dict)
    path: Mapping[str, np.ndarray] = field(default_factory=dict)
    assignment: np.ndarray | None = None
    exchangeable: bool = True
    log_prior: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective | None = None

    def __post_init__(self) -> None:
        """What was optimised is what the method declares, if nothing else is said."""
        if self.objective is None:
            self.objective = self.method.objective

    @property
    def kind(self) -> Kind:
        """ "draws" or "point"."""
        return self.method.kind

    @property
    def assignments(self) -> Treatment:
        """Whether assignments and state paths count by probability ("soft") or wholly ("hard")."""
        return self.method.assignments
