"""Location and spread of the data, from which the programs' default priors are set."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.data.missing import missing_cells


class DataScale(NamedTuple):
    """Mean and standard deviation of every feature; 0 and 1 where there are no data.

    The deviation of a feature that is constant is 1 too.
    """

    mean: Any
    deviation: Any
    constant: Any


def data_scale(x: Any) -> DataScale:
    """Mean and standard deviation over rows, gaps left out.

    Concrete data are reduced by NumPy at once, so that a program that is traced again and again
    holds two small constants and not the data.

    >>> data_scale(np.array([[1.0], [3.0]]))
    DataScale(mean=array([2.]), deviation=array([1.]), constant=array([False]))
    """
    if x is None:
        return DataScale(0.0, 1.0, False)
    if isinstance(x, jax.core.Tracer):
        deviation = jnp.nanstd(x, axis=0)
        return DataScale(
            jnp.nanmean(x, axis=0), jnp.where(deviation > 0, deviation, 1), deviation == 0
        )
    array = np.asarray(x)
    seen = ~missing_cells(array)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, array, 0).sum(0, dtype=np.float64) / count
    deviation = np.sqrt(np.where(seen, (array - mean) ** 2, 0).sum(0) / count)
    return DataScale(mean, np.where(deviation > 0, deviation, 1.0), deviation == 0)
