"""The kind whose units are whole sequences of numbers, or of vectors of them, of any length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ppl_models import memory
from ppl_models.data.containers.columns import is_a
from ppl_models.data.containers.tables import Table
from ppl_models.data.kinds import checks, doubts
from ppl_models.data.kinds.observed import Kind, Observed
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError

COLUMN = "sequence"  #: the column of a table that says which sequence a row belongs to


class Series(Kind):
    """Sequences of vectors: float64 (sequence, position, feature), NaN after a sequence's end."""

    @classmethod
    def read(
        cls,
        data: object,
        *,
        site: str = "x",
        like: Mapping[str, ArrayLike] | None = None,
        fresh: bool = True,
        covariate: bool = False,
    ) -> Observed:
        """Read a list of sequences, a table with a column "sequence", or one single sequence.

        Each sequence is ``(position,)`` or ``(position, feature)``. A missing cell is NaN; steps
        at a sequence's end that are missing altogether are not there.

        Raises:
            InputError: an empty sequence, text, infinite values, sequences that differ in their
                features; of data to fit also all-missing and constant columns.

        Example:
            >>> read = Series.read([[1.0, 2.0, 4.0], [3.0]])
            >>> read.dims, read.values[..., 0].tolist()
            (('sequence', 'position', 'feature'), [[1.0, 2.0, 4.0], [3.0, nan, nan]])
        """
        pieces, labels = _pieces(data, site)
        tables = [
            checks.read_table(piece, site=_place(site, labels, i), like=like, fresh=fresh)
            for i, piece in enumerate(pieces)
        ]
        names = [list(table.values_by_column) for table in tables]
        odd = next((i for i, n in enumerate(names) if n != names[0]), None)
        if odd is not None:
            raise InputError(
                f"{_place(site, labels, odd)} has the features {checks.shown(names[odd])}, and the "
                f"first {checks.shown(names[0])}: give all sequences the same"
            )
        matrices = [_matrix(table, _place(site, labels, i)) for i, table in enumerate(tables)]
        all_steps = np.concatenate(matrices)
        refusal = None
        if fresh:
            checks.refuse_empty_columns(all_steps, tables[0], site)
            refusal = checks.constant_column(all_steps, tables[0], site, covariate=covariate)
            doubts.warn_of_numbers(all_steps, tables[0], site)
        return replace(_observed(matrices, labels, names[0]), refusal=refusal)


def _place(site: str, labels: np.ndarray, number: int) -> str:
    return site if len(labels) == 1 else f"sequence {labels[number]} of {site}"


def _matrix(table: Table, where: str) -> np.ndarray:
    matrix = checks.numeric_matrix(table, site=where, remedy="drop it or encode it as numbers")
    remedy = "drop the step, or mark the cell as missing by NaN"
    checks.refuse_cells(np.isinf(matrix), matrix, table, where, remedy)
    seen = np.flatnonzero(~missing_cells(matrix).all(1))
    if len(seen) == 0:
        raise InputError(f"{where} has no observed step: drop it")
    return matrix[: seen[-1] + 1]


def _pieces(data: Any, site: str) -> tuple[list[Any], np.ndarray]:
    """One container a sequence, and the sequences' labels."""
    if isinstance(data, np.ndarray) and data.ndim == 3:
        return list(data), np.arange(len(data))
    if isinstance(data, list | tuple) and data and not np.isscalar(data[0]) and _deep(data):
        return list(data), np.arange(len(data))
    if isinstance(data, list | tuple) and not data:
        raise InputError(f"{site} has no sequences: give at least one")
    frame = _frame(data)
    if frame is None:
        return [data], np.array([0])
    rows = frame.groupby(COLUMN, sort=False).indices
    rest = frame.drop(columns=COLUMN)
    labels = np.array(list(rows))
    return [rest.iloc[np.sort(rows[label])] for label in rows], labels


def _deep(data: Any) -> bool:
    """Whether a list holds sequences and not numbers."""
    return all(hasattr(piece, "__len__") and not isinstance(piece, str) for piece in data)


def _frame(data: Any) -> pd.DataFrame | None:
    """The table, if it says which sequence a row belongs to."""
    if is_a(data, "polars", "LazyFrame"):
        data = data.collect()
    if is_a(data, "polars", "DataFrame"):
        data = {name: data[name].to_list() for name in data.columns}
    if isinstance(data, Mapping) and COLUMN in data:
        data = pd.DataFrame({str(n): np.asarray(v) for n, v in data.items()})
    if isinstance(data, pd.DataFrame) and COLUMN in data.columns and data.shape[1] > 1:
        return data
    return None


def _observed(matrices: list[np.ndarray], labels: np.ndarray, names: list[str]) -> Observed:
    longest = max(len(m) for m in matrices)
    features = len(names)
    cells = len(matrices) * longest * features
    if cells > memory.DATA_NUMBERS or cells - sum(m.size for m in matrices) > memory.DATA_PADDING:
        number = int(np.argmax([len(m) for m in matrices]))
        raise InputError(
            f"the data would need {len(matrices):,} × {longest:,} × {features} cells: split the "
            f"longest sequence, {labels[number]}, into several"
        )
    values = np.full((len(matrices), longest, features), np.nan)
    for row, matrix in zip(values, matrices, strict=True):
        row[: len(matrix)] = matrix
    return Observed(
        values=values,
        dims=("sequence", "position", "feature"),
        coords={
            "sequence": labels,
            "position": np.arange(longest),
            "feature": np.array(names, dtype=str),
        },
        arguments={"sequences": len(matrices), "positions": longest, "features": features},
    )


def as_sequences(values: np.ndarray) -> list[np.ndarray]:
    """Sequences of ``(sequence, position, feature)``, without the padding after their ends.

    Example:
        >>> [len(s) for s in as_sequences(np.array([[[1.0], [2.0]], [[3.0], [np.nan]]]))]
        [2, 1]
    """
    sequences = []
    for row in values:
        seen = np.flatnonzero(~missing_cells(row.reshape(len(row), -1)).all(1))
        sequences.append(row[: seen[-1] + 1 if len(seen) else 0])
    return sequences
