"""How a datum is read as a sequence: which cells are observed, and where the sequence ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.data.missing import known_tokens, missing_cells


class SequenceFormat(Protocol):
    """What a hidden Markov model must know of its data ``(sequence, position, ...)``."""

    def observed(self, value: Any) -> Any:
        """Which cells are observed, of NumPy's or JAX's arrays."""
        ...

    def lengths(self, value: Array) -> Array:
        """Steps of every sequence, ``(sequence,)``."""
        ...

    def needed(self, value: np.ndarray) -> np.ndarray:
        """Positions of every sequence that a pass needs, at least one, ``(sequence,)``."""
        ...

    def cut(self, lengths: Array, positions: int) -> Array:
        """Sequences whose end was not observed, ``(sequence,)``."""
        ...

    def in_part(self, value: Any) -> Any:
        """Whether some cells of a step are observed and others not."""
        ...


class UpToLastObserved:
    """Sequences of any steps, each of which ends with its last step that has an observed cell.

    A missing cell is NaN, or a negative code among integers.

    >>> rows = np.array([[[1.0], [np.nan], [2.0], [np.nan]]])
    >>> UpToLastObserved().needed(rows).tolist()
    [3]
    """

    def observed(self, value: Any) -> Any:
        """Which cells are observed."""
        return ~missing_cells(value)

    def lengths(self, value: Array) -> Array:
        """Up to the last step with an observed cell; 0 where there is none."""
        seen = observed_steps(self, value)
        return jnp.max(jnp.where(seen, jnp.arange(1, len(seen) + 1)[:, None], 0), axis=0)

    def needed(self, value: np.ndarray) -> np.ndarray:
        """Up to the last step with an observed cell."""
        seen = self.observed(value).any(tuple(range(2, value.ndim)))
        last = np.where(seen, np.arange(1, seen.shape[1] + 1), 1)
        return last.max(1)

    def cut(self, lengths: Array, positions: int) -> Array:
        """None: all data end."""
        return jnp.zeros(lengths.shape, bool)

    def in_part(self, value: Any) -> Any:
        """Whether some features of a step are observed and others not."""
        seen, event = self.observed(value), tuple(range(2, value.ndim))
        return (seen.any(event) & ~seen.all(event)).any()


@dataclass(frozen=True)
class UpToEnd:
    """Rows of codes 0 … V-1, then V (``<end>``) to the end of the row; -1 where not known.

    A sequence's length is always known. A row without ``<end>`` was cut.

    Args:
        tokens: V.

    >>> UpToEnd(2).needed(np.array([[0, 1, 2, 2]])).tolist()
    [3]
    """

    tokens: int

    def observed(self, value: Any) -> Any:
        """Which tokens are known, ``<end>`` being none."""
        return known_tokens(value, self.tokens)

    def lengths(self, value: Array) -> Array:
        """Tokens of every sequence."""
        return (value != self.tokens).sum(-1)

    def needed(self, value: np.ndarray) -> np.ndarray:
        """Tokens of every sequence and one ``<end>``, if there is one."""
        return np.minimum((value != self.tokens).sum(1) + 1, value.shape[1])

    def cut(self, lengths: Array, positions: int) -> Array:
        """Rows without ``<end>``: they have the probability of all that begin so."""
        return lengths == positions

    def in_part(self, value: Any) -> Any:
        """A step has one token: it is missing as a whole or not at all."""
        return False


def observed_steps(form: SequenceFormat, value: Array) -> Array:
    """Steps with an observed cell, ``(position, sequence)``."""
    return form.observed(value).any(tuple(range(2, value.ndim))).T
