"""Arrays of three and more axes: rows of matrices, such as the alternatives of every choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl_models.data.containers.columns import is_a
from ppl_models.data.kinds.categories import Categories
from ppl_models.data.kinds.numeric import Bits, Counts, Reals
from ppl_models.data.kinds.observed import Kind, Observed
from ppl_models.data.missing import columns_vary
from ppl_models.errors import InputError
from ppl_models.rectangular import rectangular

SERVED = (Reals, Bits, Counts)  #: kinds whose cells mean the same in every column


def deep_array(value: Any, kind: type[Kind]) -> np.ndarray | None:
    """The array, where data of a kind that has rows of cells come with more than two axes.

    Args:
        value: data as ``fit`` takes them.
        kind: what the program takes them for.

    >>> deep_array([[[1.0, 2.0]], [[3.0, 4.0]]], Reals).shape
    (2, 1, 2)
    """
    if not issubclass(kind, (*SERVED, Categories)) or isinstance(value, Mapping):
        return None
    if isinstance(value, list | tuple):
        value = rectangular(value)  # the kind has words for rows of unequal length
    elif is_a(value, "xarray", "DataArray"):
        value = value.values
    if getattr(value, "ndim", 0) < 3 or not hasattr(value, "__array__"):
        return None
    return value if isinstance(value, np.ndarray) else np.asarray(value)


def read_deep_array(
    array: np.ndarray,
    kind: type[Kind],
    *,
    site: str,
    like: Mapping[str, Any] | None,
    fresh: bool,
) -> Observed:
    """Data with rows along the first axis and named axes ``{site}_axis_1``, ... behind it.

    Every cell is read as that of a table is; only no column may not be constant, nor all missing.

    Args:
        array: ``(row, ...)``, of three axes or more.
        kind: what its cells are.
        site: name of the program's data parameter.
        like: coordinates of an earlier reading that these data must have.
        fresh: whether the data are to be fitted.

    Raises:
        InputError: cells that the kind refuses, other axes than those of ``like``, or categories,
            whose levels would be counted column by column.

    >>> read_deep_array(np.zeros((4, 3, 2)), Reals, site="X", like=None, fresh=True).dims
    ('row', 'X_axis_1', 'X_axis_2')
    """
    if issubclass(kind, Categories):
        raise InputError(
            f"{site} has {array.ndim} dimensions (shape {array.shape}), and the levels of "
            "Categories are read column by column: declare the parameter as Counts, and give "
            "codes from 0"
        )
    own = array.shape[1:]
    axes = tuple(f"{site}_axis_{i + 1}" for i in range(len(own)))
    known = None if like is None else tuple(len(like.get(a, ())) for a in axes)
    if known is not None and any(known) and known != own:
        raise InputError(
            f"{site} has rows of shape {own}, and the fit has rows of shape {known}: give rows of "
            "that shape"
        )
    flat = array.reshape(len(array), math.prod(own))
    observed = kind.read(flat, site=site, fresh=False)
    if fresh and columns_vary(observed.values):  # a constant column among many is no fault
        observed = kind.read(flat, site=site)
    coords = {n: v for n, v in observed.coords.items() if n != "feature"}
    coords |= {a: np.arange(n) for a, n in zip(axes, own, strict=True)}
    arguments: dict[str, object] = {"rows": len(array)}
    values = observed.values.reshape(array.shape)
    return replace(observed, values=values, dims=("row", *axes), coords=coords, arguments=arguments)
