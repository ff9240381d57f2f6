"""Nested lists as arrays, where their rows are of one length."""

from __future__ import annotations

from typing import Any

import numpy as np


def rectangular(value: Any) -> np.ndarray | None:
    """The value as an array; None where its rows are of unequal length.

    Args:
        value: a number, a list, or a list of lists to any depth.

    >>> rectangular([[1, 2], [3, 4]]).shape
    (2, 2)
    >>> rectangular([[1, 2], [3]]) is None
    True
    """
    try:
        return np.asarray(value)
    except ValueError:  # NumPy's word for it
        return None
