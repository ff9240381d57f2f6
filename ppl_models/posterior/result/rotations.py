"""Parameters that are known up to a rotation, as numbers that no rotation changes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models.distributions.registry import family_class
from ppl_models.posterior.result.schema import SAMPLE, EmissionFacts, facts_of

MOST_FEATURES = 20  #: of which products are computed, evenly spaced among all


def rotated_sites(tree: xr.DataTree) -> list[str]:
    """Sites of loadings: parameters of which a rotation of the last axis leaves the density as is.

    Args:
        tree: a fit.
    """
    return [
        parameter.site
        for emission in facts_of(tree).emissions
        for name, parameter in emission.parameters.items()
        if parameter.site is not None and name in _equivalent(emission)
    ]


def _equivalent(emission: EmissionFacts) -> tuple[str, ...]:
    """The parameters of which the family says that several values mean the same."""
    names = getattr(family_class(emission.family), "equivalent_parameters", ())
    return () if isinstance(names, property) else names


def product_name(site: str) -> str:
    """What the product of loadings and their transpose is called.

    >>> product_name("loadings")
    "loadings loadings'"
    """
    return f"{site} {site}'"


def rotation_free(tree: xr.DataTree, dataset: xr.Dataset) -> xr.Dataset:
    """Draws whose loadings Λ are replaced by Λ Λ', which all rotations of the factors have.

    The sign and the order of factors, and their rotation, may differ between chains and draws, so
    that R-hat of Λ says nothing, and a mean over its signs is none of its values. Λ Λ' is what
    factors add to the covariance of the features.

    Args:
        tree: a fit.
        dataset: variables of its posterior.

    Returns:
        The variables in the same order; Λ Λ' has the axes ``feature`` and ``feature_other``, of at
        most `MOST_FEATURES` features.
    """
    rotated = rotated_sites(tree)
    if not set(rotated) & set(dataset.data_vars):
        return dataset
    variables = {}
    for name, values in dataset.data_vars.items():
        if name in rotated and values.dims[-2:] and set(SAMPLE) <= set(values.dims):
            variables[product_name(str(name))] = _product(values)
        else:
            variables[str(name)] = values
    return xr.Dataset(variables, attrs=dataset.attrs)


def _product(values: xr.DataArray) -> xr.DataArray:
    """``Λ Λ'`` of loadings ``(..., feature, factor)``."""
    feature, factor = (str(dim) for dim in values.dims[-2:])
    count = values.sizes[feature]
    if count > MOST_FEATURES:
        places = np.linspace(0, count - 1, MOST_FEATURES).astype(int)
        values = values.isel({feature: np.unique(places)})
    other = f"{feature}_other"
    return xr.dot(values, values.rename({feature: other}), dim=factor)
