"""Missing cells: NaN among real numbers, a negative code among whole numbers.

The one predicate of the package, for NumPy's arrays and for JAX's, traced ones included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MISSING_CODE = -1  #: of a category or a token that is not known
#: Cells of a file that are missing. Not "None" and "null", which pandas would add: they can be
#: answers in a questionnaire.
MISSING_TEXTS = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "<NA>"]


def missing_cells(array: Any) -> Any:
    """Which cells are missing: booleans of the array's shape, by the array's own library.

    >>> missing_cells(np.array([1.0, np.nan])), missing_cells(np.array([2, -1]))
    (array([False,  True]), array([False,  True]))
    """
    library = array.__array_namespace__()
    if library.isdtype(array.dtype, "real floating"):
        return library.isnan(array)
    if library.isdtype(array.dtype, "signed integer"):
        return array < 0
    return library.zeros(array.shape, dtype=bool)


def has_missing(array: Any) -> bool:
    """Whether a cell of concrete data is missing.

    >>> has_missing([[1.0, float("nan")]]), has_missing([1, 2])
    (True, False)
    """
    return bool(missing_cells(np.asarray(array)).any())


def known_tokens(codes: Any, vocabulary: int) -> Any:
    """Which codes of sequences are tokens: no missing cells, and not behind a sequence's end.

    Args:
        codes: whole numbers, by whichever library.
        vocabulary: number of tokens, which is the code of ``<end>``.

    >>> known_tokens(np.array([0, -1, 2, 3]), 3).tolist()
    [True, False, True, False]
    """
    return (codes >= 0) & (codes < vocabulary)


def columns_vary(values: np.ndarray) -> bool:
    """Whether every column has at least two different observed values.

    Args:
        values: numbers ``(row, ...)``.

    >>> columns_vary(np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 2.0]]))
    True
    >>> columns_vary(np.array([[1.0, 2.0], [1.0, 3.0]])), columns_vary(np.full(3, np.nan))
    (False, False)
    """
    if len(values) == 0:
        return False
    with np.errstate(all="ignore"):  # comparisons with NaN
        return bool((np.fmin.reduce(values, 0) < np.fmax.reduce(values, 0)).all())
