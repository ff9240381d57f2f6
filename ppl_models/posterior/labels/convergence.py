"""R-hat and ESS of the variables of a posterior, by ArviZ, at a bounded cost."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr

#: Entries of one variable that are judged; a larger one is thinned evenly along its axes.
ENTRIES = 200


def strides(variable: xr.DataArray, entries: int = ENTRIES) -> dict[Hashable, slice]:
    """Strides along the axes of a variable that leave at most ``entries`` numbers per draw.

    Components are never left out: the other axes are thinned, the longest first.
    """
    steps = {dim: 1 for dim in variable.dims if dim not in ("chain", "draw", "cluster")}

    def left(dim: Hashable) -> int:
        return -(-variable.sizes[dim] // steps[dim])

    while steps:
        count = variable.sizes.get("cluster", 1) * np.prod([left(dim) for dim in steps])
        longest = max(steps, key=left)
        if count <= entries or left(longest) == 1:
            break
        steps[longest] *= 2
    return {dim: slice(None, None, step) for dim, step in steps.items()}


def convergence(dataset: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Rank-normalised split R-hat and bulk ESS of the variables of a posterior.

    Of a long variable only some entries are judged (:func:`strides`), the others are NaN; so is
    the R-hat of a variable that never moves.
    """
    import arviz_stats  # a second, which point methods do not need

    rhats, sizes = {}, {}
    for name, variable in dataset.data_vars.items():
        chosen = strides(variable)
        part = variable.isel(chosen)
        empty = xr.full_like(variable.isel(chain=0, draw=0, drop=True), np.nan, dtype=float)
        rhats[name], sizes[name] = empty.copy(), empty.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            rhats[name][chosen] = arviz_stats.rhat(part)
            sizes[name][chosen] = arviz_stats.ess(part, method="bulk")
    return xr.Dataset(rhats), xr.Dataset(sizes)
