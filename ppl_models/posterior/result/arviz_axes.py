"""Axes as ArviZ's tables label them rightly."""

from __future__ import annotations

import xarray as xr

from ppl_models.posterior.result.schema import SAMPLE


def with_own_axes(dataset: xr.Dataset) -> xr.Dataset:
    """Draws of which no two variables share an axis other than chain and draw.

    ``arviz_base.dataset_to_dataframe`` (in ``summary`` and ``psense_summary``) takes the numbers of
    a variable in the order of the whole dataset's axes, and their labels in that of the variable's
    own: where a variable has axes in another order than those before it, its numbers would stand
    beside labels of others. An axis called ``label`` would be a ValueError there. Coordinates, from
    which the labels are made, stay as they are.

    >>> sites = {"weights": (("k",), [0.4, 0.6]), "confusion": (("label", "k"), [[0.9, 0.1]])}
    >>> list(with_own_axes(xr.Dataset(sites)).dims)
    ['weights k', 'confusion label', 'confusion k']
    """
    variables = {
        name: values.rename({d: f"{name} {d}" for d in values.dims if d not in SAMPLE})
        for name, values in dataset.data_vars.items()
    }
    return xr.Dataset(variables, attrs=dataset.attrs)
