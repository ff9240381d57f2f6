"""Where the Markov chains of a fit ended, from which others go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

WARMED = "warmed"  #: of a run's last state: sweeps of the warm-up that are done


class LastStates:
    """Where the runs of a fit ended, in the order in which they are made.

    Args:
        known: states of the runs of a fit before, as :meth:`ChainStates.remember` left them, from
            which these runs go on: without a warm-up, and without the draws before.
    """

    def __init__(self, known: Sequence[Mapping[str, np.ndarray]] = ()):
        self._known = tuple(known)
        self._runs = 0
        self.ends: dict[int, dict[str, np.ndarray]] = {}

    def next_run(self) -> int:
        """The number of the next run."""
        self._runs += 1
        return self._runs - 1

    def before(self, run: int) -> Mapping[str, np.ndarray] | None:
        """The state that a run goes on from; None where it begins."""
        return self._known[run] if run < len(self._known) else None
