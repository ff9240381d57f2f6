"""Row weights as a user gives them.

Weights are counts (frequencies): a row of weight w stands for w equal rows, each with a hidden
cluster of its own. Its log-density, assignments summed out, counts w times:

    log p(θ) + Σ_n w_n log Σ_z p(x_n, z | θ)

which is not what ``numpyro.handlers.scale`` around the rows' sites says (all copies in one
cluster). Weights that are no whole numbers make a power of the likelihood (Walker and Hjort 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl_models.errors import InputError
from ppl_models.program.rows.columns import take_column

OTHERWISE = (
    "give the name of a column, or an array of one number a row (the prior of a mixture's weights "
    "is weight_prior=)"
)


def take_weights(data: Any, weights: Any) -> tuple[Any, np.ndarray | None]:
    """The data without the column that holds the weights, and the weights ``(row,)``.

    Args:
        data: as ``fit`` takes them.
        weights: numbers, the name of a column of a data frame, or None.

    Raises:
        InputError: no such column, or weights that are no numbers from 0 up.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"x": [1.0, 2.0], "n": [3, 1]})
    >>> rest, counts = take_weights(table, "n")
    >>> list(rest.columns), counts.tolist()
    (['x'], [3.0, 1.0])
    """
    if weights is None:
        return data, None
    if isinstance(weights, str):
        data, weights = take_column(data, weights, "weights", OTHERWISE)
    try:
        counts = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise InputError("weights are no numbers: give how often each row counts") from None
    if counts.ndim != 1:
        raise InputError(f"weights have the shape {counts.shape}: give one number a row")
    wrong = ~np.isfinite(counts) | (counts < 0)
    if wrong.any():
        place = int(wrong.argmax())
        raise InputError(
            f"weights[{place}] is {counts[place]}: a row counts 0 times or more; leave out rows "
            "whose weight is not known"
        )
    if not counts.sum() > 0:
        raise InputError("all weights are 0: no row counts")
    return data, counts


def refuse_other_length(weights: np.ndarray, data: Mapping[str, Any]) -> None:
    """Refuse weights of another number of rows than the data have.

    Raises:
        InputError: both numbers.
    """
    for name, values in data.items():
        if len(values) != len(weights):
            raise InputError(
                f"there are {len(weights)} weights and {len(values)} rows of '{name}': give one "
                "number a row"
            )
