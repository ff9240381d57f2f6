"""A readable part of the posterior: which numbers traces, ranks, forests and tables show."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ppl_models.errors import InputError
from ppl_models.plots.drawing.reading import is_point
from ppl_models.posterior.result.rotations import product_name, rotated_sites, rotation_free
from ppl_models.posterior.result.schema import EmissionFacts, facts_of
from ppl_models.program.parameters.axes import CHAIN

UNITS = {"row", "sequence", "position"}  #: axes of what each unit of the data has


def foremost_sites(tree: xr.DataTree, *, weights_first: bool = True) -> list[str]:
    """Sites that are cluster weights or parameters of emissions, the foremost first.

    Args:
        tree: a fit.
        weights_first: whether the weights stand before the emissions' parameters or after them.
    """
    facts = facts_of(tree)
    sites = [site for emission in facts.emissions for site in _parameter_sites(emission)]
    weights = [] if facts.weights is None else [facts.weights]
    return list(dict.fromkeys([*weights, *sites] if weights_first else [*sites, *weights]))


def _parameter_sites(emission: EmissionFacts) -> list[str]:
    """Sites of an emission's parameters; those of what a state emits before the chain's."""
    chain = CHAIN if emission.component_family is not None else ()
    names = sorted(emission.parameters, key=lambda name: name in chain)
    sites = (emission.parameters[name].site for name in names)
    return [site for site in sites if site is not None]


def global_variables(tree: xr.DataTree) -> list[str]:
    """Variables of the posterior that are not a row's own, such as assignments."""
    posterior = tree["posterior"].to_dataset()
    units = UNITS | {facts_of(tree).unit}
    return [str(name) for name in posterior.data_vars if not units & set(posterior[name].dims)]


def shown_parameters(tree: xr.DataTree, at_most: int, *, weights_first: bool = True) -> xr.Dataset:
    """A readable part of the posterior: at most so many numbers that vary, foremost first.

    Args:
        tree: a fit with draws.
        at_most: how many single numbers (elements of variables) to keep.
        weights_first: see :func:`foremost_sites`. Sites that are no parameter of an emission come
            before all others where nothing has components, else after them; small before large.

    Returns:
        Variables (chain, draw, ...), large ones cut to their first features (the same for all);
        of loadings their product, which no rotation changes.
    """
    names = global_variables(tree)
    posterior = rotation_free(tree, tree["posterior"].to_dataset()[names])
    products = {site: product_name(site) for site in rotated_sites(tree)}
    names = [str(name) for name in posterior.data_vars]
    order = [products.get(s, s) for s in foremost_sites(tree, weights_first=weights_first)]
    # of a network the few biases and scales are read, hardly the first of its many weights
    sizes = {name: number_count(posterior[name]) for name in names}
    # where there are components, they are what a reader looks for, not the priors' own parameters
    others = len(order) if facts_of(tree).components else -1
    names.sort(key=lambda name: (order.index(name), 0) if name in order else (others, sizes[name]))
    shown: dict[str, xr.DataArray] = {}
    lengths: dict[str, int] = {}
    for name in names:
        free = at_most - sum(number_count(array) for array in shown.values())
        values = _cut(posterior[name], free, lengths)
        if values is not None and _varies(values):
            shown[name] = values
            lengths |= {str(dim): size for dim, size in values.sizes.items()}
    return xr.Dataset(shown)


def _varies(values: xr.DataArray) -> bool:
    """Whether every number differs between draws by more than rounding."""
    size = abs(values).max(["chain", "draw"])
    return bool((values.std(["chain", "draw"]) > 1e-12 * size).all())


def number_count(values: xr.DataArray) -> int:
    """How many numbers a variable has at each draw."""
    return values.size // (values.sizes.get("chain", 1) * values.sizes.get("draw", 1))


def total_count(dataset: xr.Dataset) -> int:
    """How many numbers all variables of a dataset have at each draw."""
    return sum(number_count(values) for values in dataset.data_vars.values())


def with_left_out(caption: str, tree: xr.DataTree, shown: xr.Dataset) -> str:
    """A caption that says how many of the posterior's numbers a plot has no room for."""
    count, total = (
        total_count(shown),
        total_count(tree["posterior"].to_dataset()[global_variables(tree)]),
    )
    if count >= total:
        return caption
    return f"{caption} Shown are {count:,} of the posterior's {total:,} numbers."


def has_varying_draws(tree: xr.DataTree) -> bool:
    """Whether there are draws, and a readable number among them that varies."""
    if is_point(tree) or "posterior" not in tree.children:
        return False
    return bool(shown_parameters(tree, 30).data_vars)


def _cut(values: xr.DataArray, free: int, lengths: dict[str, int]) -> xr.DataArray | None:
    """A variable cut to its first entries, along clusters last; None if that does not suffice."""
    shared = {dim: slice(0, lengths[str(dim)]) for dim in values.dims if dim in lengths}
    values = values.isel(shared)
    able = [dim for dim in values.dims if dim not in ("chain", "draw") and dim not in lengths]
    able.sort(key=lambda dim: (dim == "cluster", -values.dims.index(dim)))
    for dim in able:
        if number_count(values) > free:
            others = number_count(values) // values.sizes[dim]
            values = values.isel({dim: slice(0, max(1, free // others))})
    return values if number_count(values) <= free else None


def tree_of(tree: xr.DataTree, dataset: xr.Dataset) -> xr.DataTree:
    """Parameters with the log density and the sampler's statistics, as ArviZ's plots read them.

    Raises:
        InputError: no parameter at all.
    """
    if not dataset.data_vars:
        raise InputError("No parameter that varies over the draws has so few entries: allow more.")
    groups = {"posterior": dataset}
    if "sample_stats" in tree.children:
        groups["sample_stats"] = tree["sample_stats"].to_dataset()
        if "lp" in groups["sample_stats"]:
            groups["posterior"] = dataset.assign(lp=groups["sample_stats"]["lp"])
    return xr.DataTree.from_dict({name: _counted(values) for name, values in groups.items()})


def _counted(dataset: xr.Dataset) -> xr.Dataset:
    """Axes without labels labelled 0, 1, ...: ArviZ's plots select by these."""
    missing = [dim for dim in dataset.dims if dim not in dataset.coords]
    return dataset.assign_coords({dim: np.arange(dataset.sizes[dim]) for dim in missing})


def legible(dataset: xr.Dataset) -> xr.Dataset:
    """The variables whose intervals are wide enough to be seen on one common axis."""
    names: list[str] = []
    for name in map(str, dataset.data_vars):
        ends = dataset[[*names, name]].quantile([0.03, 0.97], ["chain", "draw"])
        low, high = (np.concatenate([v.sel(quantile=q).values.ravel() for v in ends.values()])
                     for q in (0.03, 0.97))  # fmt: skip
        if np.quantile(high - low, 0.25) > 0.005 * (high.max() - low.min()):
            names.append(name)
    return dataset[names or [str(next(iter(dataset.data_vars)))]]


def inches(width: float, height: float) -> dict[str, Any]:
    """The size of a figure as ArviZ's plots take it."""
    return {"figsize": (width, height), "figsize_units": "inches"}
