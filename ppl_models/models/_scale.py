"""Location and spread of the data, from which the programs' default priors are set."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.data.missing import missing_cells

SAMPLE = 1000  #: rows, evenly spaced, in which repeated values are looked for


class DataScale(NamedTuple):
    """Mean and standard deviation of every feature; 0 and 1 where there are no data."""

    mean: Any
    deviation: Any


def data_scale(x: Any) -> DataScale:
    """Mean and standard deviation over rows, gaps left out.

    Concrete data are reduced by NumPy at once, so that a program that is traced again and again
    holds two small constants and not the data.

    >>> data_scale(np.array([[1.0], [3.0]]))
    DataScale(mean=array([2.]), deviation=array([1.]))
    """
    if x is None:
        return DataScale(0.0, 1.0)
    if isinstance(x, jax.core.Tracer):
        deviation = jnp.nanstd(x, axis=0)
        return DataScale(jnp.nanmean(x, axis=0), jnp.where(deviation > 0, deviation, 1))
    array = np.asarray(x)
    seen = ~missing_cells(array)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, array, 0).sum(0, dtype=np.float64) / count
    deviation = np.sqrt(np.where(seen, (array - mean) ** 2, 0).sum(0) / count)
    return DataScale(mean, np.where(deviation > 0, deviation, 1.0))


def unit_of_data(x: Any) -> Any:
    """Least distance between two values of each feature: the unit that data are rounded to.

    Gaps are left out; distances within rounding errors of the numbers are none. It is 0 where there
    are no data, and 1 of a feature that is constant, as its deviation is.

    >>> unit_of_data(np.array([[1.5, 2.0], [1.0, 2.0], [1.5, 2.0]]))
    array([0.5, 1. ])
    """
    if x is None:
        return 0.0
    traced = isinstance(x, jax.core.Tracer)
    xp: Any = jnp if traced else np
    array = x if traced else np.asarray(x)
    rows = array[:: max(len(array) // SAMPLE, 1)]
    values = xp.sort(xp.where(xp.isnan(rows), xp.nan, rows), axis=0)
    least = 8 * xp.finfo(values.dtype).eps * xp.abs(values[1:])
    distances = values[1:] - values[:-1]
    distances = xp.where(distances > least, distances, xp.inf).min(0, initial=xp.inf)
    return xp.where(xp.isfinite(distances), distances, 1.0)
