"""Blocks of rows as read, and a uniform sample of all rows so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ppl_models.data.kinds import Observed
from ppl_models.program.block_rows import SEED_ROWS


@dataclass(frozen=True)
class Piece:
    """Rows as they were read."""

    values: np.ndarray
    labels: np.ndarray


class Reservoir:
    """A sample of all rows seen, each with the same probability: Vitter (1985), algorithm R.

    Args:
        observed: the rows of the sample so far.
        rows: how many were seen.
        seed: of the random numbers.
    """

    def __init__(self, observed: dict[str, Observed], rows: int, seed: int):
        ((self._site, self._read),) = observed.items()
        self.begun = self._count = rows
        self._values = np.array(self._read.values)
        labels = np.asarray(self._read.coords.get("row", np.arange(len(self._values))))
        self._labels = [*labels.tolist()]
        self._most = max(SEED_ROWS, len(self._values))
        self._generator = np.random.default_rng([seed, rows])

    def add(self, piece: Piece) -> None:
        """Add rows to the sample."""
        room = min(self._most - len(self._values), len(piece.values))
        if self._count > len(self._values):
            room = 0  # (a sample already, of which each row stands for several)
        numbers = piece.labels
        if numbers.dtype.kind in "iu":
            numbers = self._count + np.arange(len(numbers))
        self._values = np.concatenate([self._values, piece.values[:room]])
        self._labels += numbers[:room].tolist()
        seen = self._count + np.arange(room, len(piece.values))
        places = self._generator.integers(0, seen + 1)
        for i in np.flatnonzero(places < len(self._values)):
            self._values[places[i]] = piece.values[room + i]
            self._labels[places[i]] = numbers[room + i]
        self._count += len(piece.values)

    def observed(self) -> dict[str, Observed]:
        """The rows, with their labels unless these are plain numbers."""
        labels = self._labels
        if not all(isinstance(label, int | np.integer) for label in labels):
            labels = [str(label) for label in labels]
        coords = {**self._read.coords, "row": np.asarray(labels)}
        arguments = {**self._read.arguments}
        if "rows" in arguments:
            arguments["rows"] = len(self._values)
        read = replace(
            self._read, values=self._values, coords=coords, arguments=arguments, refusal=None
        )
        return {self._site: read}
