"""Location and spread of the data, from which the programs' default priors are set."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.data.summary import current
from ppl_models.errors import UnsupportedError

SAMPLE = 1000  #: rows, evenly spaced, in which repeated values are looked for


class DataScale(NamedTuple):
    """Mean and standard deviation of every feature; 0 and 1 where there are no data."""

    mean: Any
    deviation: Any


def data_scale(x: Any, row_weights: Any = None) -> DataScale:
    """Mean and standard deviation over rows, gaps left out; rows count as often as they weigh.

    Concrete data are reduced by NumPy at once, so that a program that is traced again and again
    holds two small constants and not the data.

    >>> data_scale(np.array([[1.0], [3.0]]))
    DataScale(mean=array([2.]), deviation=array([1.]))
    >>> data_scale(np.array([[1.0], [3.0]]), np.array([3, 1])).mean
    array([1.5])
    """
    if x is None:
        return DataScale(0.0, 1.0)
    summary = current()
    if summary is not None:
        _refuse_other_shape(x, summary.mean)
        return DataScale(summary.mean, np.where(summary.deviation > 0, summary.deviation, 1.0))
    if isinstance(x, jax.core.Tracer) or isinstance(row_weights, jax.core.Tracer):
        if row_weights is not None:
            return _weighted_scale(jnp.asarray(x), jnp.asarray(row_weights))
        deviation = jnp.nanstd(x, axis=0)
        return DataScale(jnp.nanmean(x, axis=0), jnp.where(deviation > 0, deviation, 1))
    if row_weights is not None:
        return DataScale(*map(np.asarray, _weighted_scale(np.asarray(x), np.asarray(row_weights))))
    array = np.asarray(x)
    seen = ~missing_cells(array)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, array, 0).sum(0, dtype=np.float64) / count
    deviation = np.sqrt(np.where(seen, (array - mean) ** 2, 0).sum(0) / count)
    return DataScale(mean, np.where(deviation > 0, deviation, 1.0))


def _weighted_scale(x: Any, row_weights: Any) -> DataScale:
    """Of NumPy's arrays by NumPy, of traced ones by JAX."""
    xp: Any = np if isinstance(x, np.ndarray) else jnp
    by_row = row_weights.reshape(-1, *[1] * (x.ndim - 1))
    weights = xp.where(missing_cells(x), 0, by_row + xp.zeros(x.shape))
    count = xp.maximum(weights.sum(0), xp.finfo(float).tiny)
    values = xp.where(missing_cells(x), 0, x)
    mean = (weights * values).sum(0) / count
    deviation = xp.sqrt((weights * (values - mean) ** 2).sum(0) / count)
    return DataScale(mean, xp.where(deviation > 0, deviation, 1.0))


def row_count(rows: int | None, row_weights: Any = None) -> Any:
    """How many rows there are, each counted as often as it weighs; 1 where it is not known.

    Of rows that are read in blocks they are all rows.
    """
    summary = current()
    if summary is not None:
        return summary.rows
    return (rows or 1) if row_weights is None else row_weights.sum()


def unit_of_data(x: Any, row_weights: Any = None) -> Any:
    """Least distance between two values of each feature: the unit that data are rounded to.

    Gaps are left out, and rows that count for nothing; distances within rounding errors of the
    numbers are none. It is 0 where there are no data, and 1 of a feature that is constant, as its
    deviation is.

    >>> unit_of_data(np.array([[1.5, 2.0], [1.0, 2.0], [1.5, 2.0]]))
    array([0.5, 1. ])
    """
    if x is None:
        return 0.0
    summary = current()
    if summary is not None:
        _refuse_other_shape(x, summary.unit)
        return summary.unit
    traced = isinstance(x, jax.core.Tracer)
    xp: Any = jnp if traced else np
    array = x if traced else np.asarray(x)
    if row_weights is None:
        rows = array[:: max(len(array) // SAMPLE, 1)]
    else:
        xp = np if isinstance(array, np.ndarray) and isinstance(row_weights, np.ndarray) else jnp
        # rows of weight 0 at the end only fill up: the sample is that of the others alone
        total = xp.where(row_weights > 0, xp.arange(1, len(array) + 1), 0).max()
        places = xp.arange(min(len(array), 2 * SAMPLE)) * xp.maximum(total // SAMPLE, 1)
        inside = xp.minimum(places, len(array) - 1)
        counts = (places < total) & (row_weights[inside] > 0)
        rows = xp.where(counts.reshape(-1, *[1] * (array.ndim - 1)), array[inside], xp.nan)
    values = xp.sort(xp.where(missing_cells(rows), xp.nan, rows), axis=0)
    least = 8 * xp.finfo(values.dtype).eps * xp.abs(values[1:])
    distances = values[1:] - values[:-1]
    distances = xp.where(distances > least, distances, xp.inf).min(0, initial=xp.inf)
    return xp.where(xp.isfinite(distances), distances, 1.0)


def _refuse_other_shape(x: Any, known: np.ndarray) -> None:
    """Refuse transformed data: the summary of all rows is of the data as they were read."""
    if jnp.shape(x)[1:] != known.shape:
        raise UnsupportedError(
            "a prior of the program depends on something computed from the data, which is not "
            "known for data in blocks: give the arguments of the prior"
        )
