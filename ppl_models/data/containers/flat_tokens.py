"""Sequences concatenated into one flat array of tokens.

Everything after `flatten` is array work; Python looks at sequences one by one, never at the
characters of a string.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from ppl_models.data.containers.columns import is_a, labels_from_index
from ppl_models.data.missing import MISSING_CODE
from ppl_models.errors import InputError

END = "<end>"
ADVICE = "give a list of strings, or of lists of tokens"


@dataclass(frozen=True)
class Flat:
    """Sequences end to end.

    Attributes:
        distinct: the distinct tokens as strings, sorted (numbers by size).
        positions: where each token is in `distinct`, (token,), for all sequences one after
            the other; -1 where it is not known.
        lengths: tokens per sequence, (sequence,).
        labels: names of the sequences, (sequence,).
    """

    distinct: tuple[str, ...]
    positions: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    def label_of(self, position: int) -> str:
        """The label of the sequence that holds a token, given the token's place in the flat."""
        ends = np.cumsum(self.lengths)
        return str(self.labels[int(np.searchsorted(ends, position, side="right"))])


def flatten(data: Any, *, site: str = "x") -> Flat:
    """Lay sequences end to end.

    Args:
        data: a list, tuple, array or series of sequences.  A sequence is a string (of
            characters) or a list, tuple or 1-D array of strings or whole numbers, in which
            None is a token that is not known.
        site: name for the data in messages.

    Raises:
        InputError: no sequences, an empty one, an element that is not a sequence, a token that
            is neither text nor a whole number, or the token "<end>".

    Example:
        >>> flat = flatten(["ab", "b"])
        >>> flat.distinct, flat.positions.tolist(), flat.lengths.tolist()
        (('a', 'b'), [0, 1, 1], [2, 1])
    """
    sequences, labels = _sequences(data, site)
    if len(sequences) == 0:
        raise InputError(f"{site} holds no sequences: give at least one")
    for label, sequence in zip(labels, sequences, strict=True):
        _refuse_sequence(sequence, label, site)
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    if all(isinstance(sequence, str) for sequence in sequences):
        distinct, positions = _characters(sequences, labels, site)
    else:
        distinct, positions = _tokens(sequences, lengths, labels, site)
    return Flat(distinct, positions, lengths, labels)


def _sequences(data: Any, site: str) -> tuple[list, np.ndarray]:
    if isinstance(data, str | bytes):
        raise InputError(f"{site} is a single string: {ADVICE}, as in [text]")
    if isinstance(data, pd.DataFrame) or is_a(data, "polars", "DataFrame"):
        if data.shape[1] != 1:
            raise InputError(f"{site} has {data.shape[1]} columns: give the one with sequences")
        data = data.iloc[:, 0] if isinstance(data, pd.DataFrame) else data[data.columns[0]]
    if isinstance(data, pd.Series):
        return list(data), labels_from_index(data.index)
    if is_a(data, "polars", "Series"):
        data = data.to_list()
    if is_a(data, "xarray", "DataArray") or is_a(data, "xarray", "Dataset"):
        raise InputError(f"{site} is an xarray object: {ADVICE}; `decode` turns codes into them")
    if not isinstance(data, list | tuple | np.ndarray) or getattr(data, "ndim", 1) == 0:
        raise InputError(f"{site} is a {type(data).__name__}: {ADVICE}")
    return list(data), np.arange(len(data))


def _refuse_sequence(sequence: Any, label: object, site: str) -> None:
    if isinstance(sequence, np.ndarray):
        usable = sequence.ndim == 1
    else:
        usable = isinstance(sequence, str | list | tuple)
    if not usable:
        held = f"{sequence!r:.40} ({type(sequence).__name__})"
        raise InputError(f"sequence {label} of {site} is {held}, not a sequence: {ADVICE}")
    if len(sequence) == 0:
        raise InputError(f"sequence {label} of {site} is empty: drop it")


def _characters(
    sequences: list[str], labels: np.ndarray, site: str
) -> tuple[tuple[str, ...], np.ndarray]:
    text = "".join(sequences)
    if END in text:
        for label, sequence in zip(labels, sequences, strict=True):
            if END in sequence:
                _refuse_end(label, site)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    positions, distinct = pd.factorize(points, sort=True)
    return tuple(map(chr, distinct.tolist())), positions


def _tokens(
    sequences: list, lengths: np.ndarray, labels: np.ndarray, site: str
) -> tuple[tuple[str, ...], np.ndarray]:
    count = int(lengths.sum())
    values = np.fromiter(chain.from_iterable(sequences), dtype=object, count=count)
    known = np.fromiter((token is not None for token in values), dtype=bool, count=count)
    if not known.any():
        raise InputError(f"{site} holds no known token: {ADVICE}")
    inferred = pd.api.types.infer_dtype(values[known], skipna=False)
    if inferred not in {"string", "integer"}:
        _refuse_tokens(values, lengths, labels, site)
    positions = np.full(count, MISSING_CODE)
    positions[known], distinct = pd.factorize(values[known], sort=True)
    names = tuple(str(token) for token in distinct)
    if END in names:
        position = int(np.argmax(positions == names.index(END)))
        _refuse_end(Flat(names, positions, lengths, labels).label_of(position), site)
    if "" in names:
        position = int(np.argmax(positions == names.index("")))
        label = Flat(names, positions, lengths, labels).label_of(position)
        raise InputError(f"sequence {label} of {site} holds an empty token: drop it")
    return names, positions


def _refuse_tokens(values: np.ndarray, lengths: np.ndarray, labels: np.ndarray, site: str) -> None:
    """Refuse the first token of an unexpected type."""
    first = next(token for token in values if token is not None)
    wanted = str if isinstance(first, str) else (int, np.integer)
    ends = np.cumsum(lengths)
    for position, token in enumerate(values):
        if token is not None and (not isinstance(token, wanted) or isinstance(token, bool)):
            label = labels[int(np.searchsorted(ends, position, side="right"))]
            raise InputError(
                f"sequence {label} of {site} holds {token!r:.40} ({type(token).__name__}): tokens "
                "are all text or all whole numbers"
            )


def _refuse_end(label: object, site: str) -> None:
    raise InputError(
        f"sequence {label} of {site} holds '{END}', which is appended automatically: remove it"
    )
