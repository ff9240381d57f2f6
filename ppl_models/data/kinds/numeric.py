"""The kinds whose cells are numbers: measurements, bits and counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ppl_models.data.kinds import checks, doubts
from ppl_models.data.kinds.observed import Kind, Observed
from ppl_models.data.missing import missing_cells


class Reals(Kind):
    """Measurements: float64 (row, feature), or (row,) where there is one column."""

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
        """Read numbers; NaN, None, NA and masked cells are missing.

        Raises:
            InputError: text, infinite values, no rows or columns, other features than those of
                `like`; of data to fit also all-missing and constant columns.

        Example:
            >>> read = Reals.read({"a": [1.0, 2.0, 4.0], "b": [3.0, None, 5.0]})
            >>> read.dims, read.values.tolist()
            (('row', 'feature'), [[1.0, 3.0], [2.0, nan], [4.0, 5.0]])
        """
        table = checks.read_table(data, site=site, like=like, fresh=fresh)
        remedy = "drop it or encode it as numbers"
        matrix = checks.numeric_matrix(table, site=site, remedy=remedy)
        remedy = "drop the row, or mark the cell as missing by NaN"
        checks.refuse_cells(np.isinf(matrix), matrix, table, site, remedy)
        refusal = None
        if fresh:
            checks.refuse_empty_columns(matrix, table, site)
            refusal = checks.constant_column(matrix, table, site, covariate=covariate)
            doubts.warn_of_numbers(matrix, table, site)
        return checks.observed(matrix, table, refusal)


class Bits(Kind):
    """Yes or no: uint8 (row, feature), or (row,); float64 with NaN where a cell is missing."""

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
        """Read booleans, or the numbers 0 and 1; a column may be constant.

        Raises:
            InputError: any other cell, no rows or columns, other features than those of
                `like`; of data to fit also all-missing columns.

        Example:
            >>> Bits.read([[True, False], [True, True]]).values
            array([[1, 0],
                   [1, 1]], dtype=uint8)
        """
        table = checks.read_table(data, site=site, like=like, fresh=fresh)
        remedy = "drop it or encode it as 0 and 1"
        matrix = checks.numeric_matrix(table, site=site, remedy=remedy)
        missing = missing_cells(matrix)
        wrong = ~((matrix == 0) | (matrix == 1) | missing)
        remedy = "bits are 0 or 1, or False or True; compare grey values with a threshold first"
        checks.refuse_cells(wrong, matrix, table, site, remedy)
        if fresh:
            checks.refuse_empty_columns(matrix, table, site)
        values = matrix if missing.any() else matrix.astype(np.uint8)
        return checks.observed(values, table)


class Counts(Kind):
    """How often: int32 (row, feature), or (row,); float64 with NaN where a cell is missing."""

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
        """Read whole numbers from 0 up.

        Raises:
            InputError: a negative, fractional or infinite cell, one beyond int32, text, no rows
                or columns, other features than those of `like`; of data to fit also all-missing
                and constant columns.

        Example:
            >>> Counts.read([3, 0, 2]).values
            array([3, 0, 2], dtype=int32)
        """
        table = checks.read_table(data, site=site, like=like, fresh=fresh)
        remedy = "drop it or encode it as numbers"
        matrix = checks.numeric_matrix(table, site=site, remedy=remedy)
        missing = missing_cells(matrix)
        wrong = ~((matrix >= 0) & (matrix == np.floor(matrix)) & np.isfinite(matrix) | missing)
        checks.refuse_cells(wrong, matrix, table, site, "counts are whole numbers from 0 up")
        largest = np.iinfo(np.int32).max
        checks.refuse_cells(matrix > largest, matrix, table, site, f"counts end at {largest}")
        refusal = None
        if fresh:
            checks.refuse_empty_columns(matrix, table, site)
            refusal = checks.constant_column(matrix, table, site, covariate=covariate)
            doubts.warn_of_numbers(matrix, table, site)
        values = matrix if missing.any() else matrix.astype(np.int32)
        return checks.observed(values, table, refusal)
