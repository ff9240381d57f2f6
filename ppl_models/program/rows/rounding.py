"""Refusals of data whose values single precision does not tell apart."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError

NEIGHBOURS = 16  #: half the share of distinct values that are looked at together: one in so many
LOSS = 0.2  #: rounding error that values may have, relative to the range of their neighbours
COARSE = 0.3  #: spacing of single precision that a component may have, relative to its scale
SAME = 1e-12  #: values that differ by less, relative to the largest, are the same
ROOM = 1e6  #: factor between the range of the data and what squares leave room for
MOST = 200_000  #: values of a column that are looked at


def refuse_rounding(observed: Mapping[str, Observed]) -> None:
    """Refuse data whose values differ by little more than the rounding of single precision.

    Time stamps and identifiers near 10⁹, for instance, become multiples of 64.

    Args:
        observed: the data, by site.

    Raises:
        InputError: the site, its column, and how far apart values are and may be.

    >>> stamps = Observed(1.7e9 + np.arange(9.0), ("row",), {}, {})
    >>> refuse_rounding({"x": stamps})
    Traceback (most recent call last):
    ...
    ppl_models.errors.InputError: 'x' has values near 1.7e+09 of which 5 differ by no more than 4, \
and single precision holds only every 128th number there: use precision='float64', or subtract \
what all of them have in common
    """
    if (reason := rounding_loss(observed)) is not None:
        raise InputError(reason)


def rounding_loss(observed: Mapping[str, Observed]) -> str | None:
    """Which values single precision does not tell apart, in words; None where it tells all apart.

    Args:
        observed: the data, by site.
    """
    for name, each in observed.items():
        values = np.asarray(each.values)
        if values.dtype != np.float64:
            continue
        named = each.dims[-1] == "feature"
        columns = values.reshape(-1, values.shape[-1]).T if named else values.reshape(1, -1)
        for place, column in enumerate(columns):
            indistinct = _indistinct(column)
            if indistinct is None:
                continue
            labels = each.coords.get("feature", np.arange(len(columns)))
            where = f"column {labels[place]!s} of '{name}'" if named else f"'{name}'"
            near, count, apart, grain = indistinct
            return (
                f"{where} has values near {near:.3g} of which {count} differ by no more than "
                f"{apart:.3g}, and single precision holds only every {grain:.3g}th number there: "
                "use precision='float64', or subtract what all of them have in common"
            )
    return None


def _indistinct(column: np.ndarray) -> tuple[float, int, float, float] | None:
    """A value, how many lie about it, their range, and the spacing of single precision there.

    None where it tells all values apart.
    """
    column = column[:: -(-len(column) // MOST)]
    column = column[np.isfinite(column)]
    if not len(column) or np.array_equal(column, column.astype(np.float32)):
        return None
    column = np.unique(column)
    column = column[np.diff(column, prepend=-np.inf) > SAME * np.abs(column).max()]
    if len(column) < 2:
        return None
    loss = np.abs(column - column.astype(np.float32))
    half = max(2, len(column) // NEIGHBOURS)
    if len(column) <= 2 * half:
        if len(np.unique(column.astype(np.float32))) == len(column):
            return None
        width = np.full(1, column[-1] - column[0])
        loss, middle, count = loss.max(keepdims=True), column[:1], len(column)
    else:
        width = column[2 * half :] - column[: -2 * half]
        loss, middle, count = loss[half:-half], column[half:-half], 2 * half + 1
    worst = int(np.argmax(loss / width))
    if count > 4 and loss[worst] <= LOSS * width[worst]:
        return None
    grain = float(np.spacing(np.float32(abs(middle[worst]))))
    return float(middle[worst]), count, float(width[worst]), grain


def coarse_component(
    name: str, values: np.ndarray, loc: np.ndarray, scale: np.ndarray
) -> str | None:
    """A component too narrow for single precision at its location, in words; None without one.

    Of few rows :func:`refuse_rounding` does not see it before the fit.

    Args:
        name: of the site.
        values: the data as they were given.
        loc: locations, the leading axis that of the draws.
        scale: standard deviations, which broadcast to them.
    """
    if values.dtype != np.float64 or np.array_equal(
        values, values.astype(np.float32), equal_nan=True
    ):
        return None
    grain = np.spacing(np.abs(loc).astype(np.float32)) / scale
    if not np.median(grain.reshape(len(loc), -1).max(1)) > COARSE:
        return None
    place = np.unravel_index(int(grain.argmax()), grain.shape)
    sd = np.broadcast_to(scale, loc.shape)[place]
    return (
        f"a component of '{name}' lies at {loc[place]:.6g} with the standard deviation {sd:.3g}, "
        f"and single precision holds only every {np.spacing(np.float32(abs(loc[place]))):.3g}th "
        "number there: use precision='float64'"
    )


def extreme_values(name: str, values: np.ndarray) -> str | None:
    """Which values have sums of squares that the working precision cannot hold; None: none.

    Args:
        name: of the site.
        values: its values ``(row, ...)``, NaN where they are missing; the last axis of several is
            that of the columns.

    >>> extreme_values("x", np.array([0, 1e-25]))
    "'x' has values that are 1e-25 apart, and sums of squares of that leave the range of float32: \
divide the data by a unit near 1e-25"
    """
    if values.dtype.kind != "f" or not values.size:
        return None
    kind = jnp.result_type(float)
    range_of = jnp.finfo(kind)
    columns = values.reshape(len(values), -1, values.shape[-1] if values.ndim > 1 else 1)
    finite = np.isfinite(columns)
    with np.errstate(over="ignore"):
        highest = np.max(columns, (0, 1), where=finite, initial=-np.inf)
        apart = highest - np.min(columns, (0, 1), where=finite, initial=np.inf)
    apart = apart[apart > 0]
    least, most = ROOM * range_of.tiny**0.5, range_of.max**0.5 / ROOM
    wrong = apart[(apart < least) | (apart > most)]
    if not len(wrong):
        return None
    return (
        f"'{name}' has values that are {wrong[0]:.3g} apart, and sums of squares of that leave the "
        f"range of {kind}: divide the data by a unit near {wrong[0]:.3g}"
    )
