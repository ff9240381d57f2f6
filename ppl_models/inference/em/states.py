"""States of an EM run on disk: the current values, and the objectives so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppl_models.program.runtime.checkpoint import Checkpoint

State = tuple[dict[str, Any], Any, Any, list[np.ndarray], list[dict[str, np.ndarray]]]


class RunStates:
    """The states of one run.

    Args:
        checkpoint: of the fit.
    """

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        self._run = checkpoint.next_run()

    def begun(self, start: Mapping[str, Any]) -> State | None:
        """State to continue from: sites, last objective, which starts are done, and all objectives.

        Args:
            start: global sites that the run starts from.
        """
        saved = self._checkpoint.read(self._run)
        if saved is None:
            return None
        values = {n: saved[f"values.{n}"] for n in start}
        count = int(saved["steps"])
        objectives = [saved["objective"][i] for i in range(count)]
        recorded = [n for n in start if f"path.{n}" in saved]
        paths = [{n: saved[f"path.{n}"][i] for n in recorded} for i in range(count)]
        return values, saved["last"], saved["done"], objectives, paths

    def keep(
        self,
        values: Mapping[str, Any],
        last: Any,
        done: Any,
        objectives: Sequence[np.ndarray],
        paths: Sequence[Mapping[str, np.ndarray]],
        *,
        ended: bool,
    ) -> None:
        """Write a state if the last one was long ago or the run has ended."""
        if not self._checkpoint.due(ended=ended):
            return
        state = {f"values.{n}": np.asarray(v) for n, v in values.items()}
        state |= {"last": np.asarray(last), "done": np.asarray(done)}
        state |= {"steps": np.array(len(objectives)), "objective": np.stack(objectives)}
        if paths:
            state |= {f"path.{n}": np.stack([p[n] for p in paths]) for n in paths[0]}
        self._checkpoint.write(self._run, state)
