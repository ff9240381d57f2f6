"""Axes under names that ArviZ's tables keep for their own."""

from __future__ import annotations

import xarray as xr

KEPT = ("label", "summary", "component")  #: axes that tables of arviz_stats have themselves


def without_arviz_axes(dataset: xr.Dataset) -> xr.Dataset:
    """Variables whose axes ArviZ's tables can stack, with the same labels as before.

    A program's axis ``label`` would meet the axis ``label`` that ``arviz_base`` makes of all
    numbers, which is a ValueError.

    >>> without_arviz_axes(xr.Dataset({"confusion": (("label",), [0.9, 0.1])})).sizes
    Frozen({'label_of_site': 2})
    """
    return dataset.rename({name: f"{name}_of_site" for name in KEPT if name in dataset.dims})
