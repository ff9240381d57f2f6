"""Row weights as a user gives them.

Weights are counts (frequencies): a row of weight w stands for w equal rows, each with a hidden
cluster of its own. Its log-density, assignments summed out, counts w times:

    log p(θ) + Σ_n w_n log Σ_z p(x_n, z | θ)

which is not what ``numpyro.handlers.scale`` around the rows' sites says (all copies in one
cluster). Weights that are no whole numbers make a power of the likelihood (Walker and Hjort 2001).

A program whose rows are found by an index (the items of labels) has lines of data, and several of
them belong to one row. A line of weight w stands for w equal lines of the same row, so that the
program itself raises their densities to the power w: it declares the data parameter
``line_weights`` and puts its emission under ``numpyro.handlers.scale``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ppl_models import catalogue
from ppl_models.data.derived import LINE_WEIGHTS, ROW_WEIGHTS
from ppl_models.errors import InputError
from ppl_models.program.arguments.signature import data_parameters
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
        raise InputError("weights are not numeric: give how often each row counts") from None
    if counts.ndim != 1:
        raise InputError(f"weights have the shape {counts.shape}: give one number for each row")
    wrong = ~np.isfinite(counts) | (counts < 0)
    if wrong.any():
        place = int(wrong.argmax())
        raise InputError(
            f"weights[{place}] is {counts[place]}: weights are finite and not negative; leave out "
            "rows whose weight is not known"
        )
    if not counts.sum() > 0:
        raise InputError("all weights are 0: no row counts")
    return data, counts


def weights_of_lines(
    function: Callable, data: Any, weights: np.ndarray | None
) -> tuple[Any, np.ndarray | None]:
    """The weights among the data, where the program takes those of its lines itself.

    Args:
        function: the program.
        data: as ``fit`` takes them, without weights.
        weights: see :func:`take_weights`.

    Returns:
        The data, and the weights that are left for the rows.

    Raises:
        InputError: weights that are among the data already.

    >>> from ppl_models.models.dawid_skene import dawid_skene
    >>> lines = {"item": [0, 1], "annotator": [0, 0], "label": [1, 0]}
    >>> data, left = weights_of_lines(dawid_skene, lines, np.array([2.0, 1.0]))
    >>> data["line_weights"].tolist(), left
    ([2.0, 1.0], None)
    """
    parameters = data_parameters(function)
    if weights is None or LINE_WEIGHTS not in parameters:
        return data, weights
    columns = data if isinstance(data, Mapping) else data_of_columns(data, parameters)
    if columns is None:
        return data, weights  # refused where the data are read
    if LINE_WEIGHTS in columns:
        raise InputError(
            f"weights are given, and '{LINE_WEIGHTS}' among the data: give one of them"
        )
    return {**columns, LINE_WEIGHTS: weights}, None


def uses_row_weights(function: Callable) -> bool:
    """Whether a program is one of this package whose priors look at the weights of its rows."""
    takes_them = ROW_WEIGHTS in getattr(function, "__annotations__", {})
    return takes_them and catalogue.is_built_in(function)


def data_of_columns(data: Any, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """A data frame's columns by the data parameters that they are named after; None of others.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"item": ["i"], "label": ["yes"]})
    >>> sorted(data_of_columns(table, {"item": None, "annotator": None, "label": None}))
    ['item', 'label']
    """
    columns = getattr(data, "columns", None)
    if columns is None or len(parameters) < 2 or not set(columns) <= set(parameters):
        return None
    return {name: data[name] for name in columns}


def refuse_other_length(weights: np.ndarray, data: Mapping[str, Any]) -> None:
    """Refuse weights of another number of rows than the data have.

    Raises:
        InputError: both numbers.
    """
    for name, values in data.items():
        if len(values) != len(weights):
            raise InputError(
                f"there are {len(weights)} weights and {len(values)} rows of '{name}': give one "
                "number for each row"
            )
