"""Label-invariant quantities of a posterior, on which convergence is judged.

R-hat of a component's parameter is high even for a good fit if chains number components
differently. The quantities here are invariant under renumbering: if they differ between chains, the
chains have not converged to the same distribution.
"""

from __future__ import annotations

from collections.abc import Iterator

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.posterior.labels.allocations import (
    ASSIGNMENT,
    Allocations,
    choose_rows,
    dataset_of,
)
from ppl_models.posterior.labels.apply import is_component_wise
from ppl_models.posterior.labels.convergence import strides
from ppl_models.posterior.result.rotations import rotation_free
from ppl_models.posterior.result.schema import cluster_weights, facts_of, row_weights

#: Number of rows whose mixture density is monitored.
POINTS = 5
#: Numbers of rows whose responsibilities are computed, and of monitored pairs of them.
ROWS = 100
PAIRS = 5
#: Largest number of entries per variable in the table; larger variables are thinned.
ENTRIES = 100

COLUMNS = ("kind", "r_hat", "ess_bulk", "ess_tail")


def invariants(
    allocations: Allocations, *, responsibilities: bool = True, seed: int = 0
) -> xr.Dataset:
    """Label-invariant quantities of every draw, as far as the tree has the groups for them.

    Args:
        allocations: of a fit with draws.
        responsibilities: whether to compute the last two quantities, which need responsibilities.
        seed: of sampled rows and pairs.

    Returns:
        Variables with dims chain, draw and perhaps one more: ``lp``; ``total_log_likelihood``;
        ``log_density (point)``, the mixture's at a few rows; ``sorted_weights (rank)``;
        ``assignment_agreement``, the fraction of pairs of rows in the same cluster;
        ``responsibility_entropy``, mean over sampled rows, in nats; ``coassignment (pair)``.
    """
    tree = allocations.tree
    quantities: dict[str, xr.DataArray] = {}
    if "lp" in tree["sample_stats"]:
        quantities["lp"] = _plain(dataset_of(tree, "sample_stats")["lp"])
    quantities |= _of_log_likelihood(tree, allocations.facts.emission.site)
    weights = cluster_weights(tree)
    if weights is not None:
        if weights.sizes["draw"] == allocations.shape[1]:
            ordered = -np.sort(-weights.transpose("chain", "draw", ...).values, axis=-1)
            quantities["sorted_weights"] = xr.DataArray(ordered, dims=("chain", "draw", "rank"))
    if (counts := allocations.counts()) is not None:
        quantities["assignment_agreement"] = _agreement(counts, allocations.shape)
    if responsibilities and allocations.components:
        quantities |= _of_responsibilities(allocations, seed)
    return xr.Dataset(quantities)


def convergence_table(tree: xr.DataTree, quantities: xr.Dataset) -> pd.DataFrame:
    """R-hat and ESS, by ArviZ, of invariants and of the posterior's variables.

    Returns:
        A row per scalar, named as in ``loc[0, width]``; columns ``kind`` (``"invariant"``;
        ``"parameter"``, without a component axis; ``"component"``), ``r_hat`` (rank-normalised,
        split), ``ess_bulk``, ``ess_tail``. Constant scalars are left out. In place of loadings,
        which are known up to a rotation, stand the entries of their product Λ Λ'.
    """
    rows = {name: (kind, *_arviz(values)) for name, kind, values in numbers(tree, quantities)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))


def numbers(tree: xr.DataTree, quantities: xr.Dataset) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, kind and draws ``(chain, draw)`` of every scalar that varies, in the table's order."""
    for name, variable in quantities.data_vars.items():
        for label, values in _entries(variable.rename(name)):
            yield label, "invariant", values
    labels, posterior = facts_of(tree).labels, dataset_of(tree, "posterior")
    free = rotation_free(tree, posterior)
    for (name, plain), variable in zip(
        posterior.data_vars.items(), free.data_vars.values(), strict=True
    ):
        if name != ASSIGNMENT and {"chain", "draw"} <= set(variable.dims):
            kind = "component" if is_component_wise(plain, labels) else "parameter"
            name = variable.name
            for label, values in _entries(variable.rename(name)):
                yield label, kind, values


def _entries(variable: xr.DataArray) -> Iterator[tuple[str, np.ndarray]]:
    """The scalars of one variable that vary, thinned, named by their coordinates."""
    chosen = variable.isel(strides(variable, ENTRIES)).transpose(..., "chain", "draw")
    shape = chosen.shape[:-2]
    values = np.asarray(chosen.values, dtype=float).reshape(-1, *chosen.shape[-2:])
    axes = [chosen[dim].values for dim in chosen.dims[:-2]]
    for index, draws in enumerate(values):
        if np.isfinite(draws).all() and np.ptp(draws) == 0:
            continue
        places = np.unravel_index(index, shape) if shape else ()
        place = ", ".join(str(axis[i]) for axis, i in zip(axes, places, strict=True))
        yield (f"{variable.name}[{place}]" if place else str(variable.name)), draws


def _arviz(values: np.ndarray) -> tuple[float, float, float]:
    """R-hat, bulk and tail ESS of ``(chain, draw)``; inf for constant chains that differ."""
    if not np.isfinite(values).all():
        return np.nan, np.nan, np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = float(arviz_stats.rhat(values))
        bulk = float(arviz_stats.ess(values, method="bulk"))
        tail = float(arviz_stats.ess(values, method="tail", prob=(0.05, 0.95)))
    if (np.ptp(values, axis=1) == 0).all():
        return np.inf, bulk, tail
    return r_hat, bulk, tail


def _plain(variable: xr.DataArray) -> xr.DataArray:
    """Chain and draw first, without coordinates."""
    return variable.transpose("chain", "draw", ...).drop_vars(list(variable.coords))


def _of_log_likelihood(tree: xr.DataTree, site: str) -> dict[str, xr.DataArray]:
    """The total log-likelihood, and the log-density of a few rows."""
    if "log_likelihood" not in tree.children:
        return {}
    stored = dataset_of(tree, "log_likelihood")[site]
    if stored.sizes["draw"] != tree["posterior"].sizes["draw"]:  # of thinned draws
        return {}
    values = _plain(stored)
    rows = str(values.dims[2])
    count = values.sizes[rows]
    chosen = np.unique(np.linspace(0, count - 1, min(count, POINTS)).astype(int))
    points = values.isel({rows: chosen}).rename({rows: "point"})
    names = [str(name) for name in stored[rows].values[chosen]]
    weights = row_weights(tree)
    counted = values if weights is None else values * xr.DataArray(weights, dims=(rows,))
    return {
        "total_log_likelihood": counted.sum(rows),
        "log_density": points.assign_coords(point=names),
    }


def _agreement(counts: np.ndarray, shape: tuple[int, int]) -> xr.DataArray:
    """The fraction of ordered pairs of rows with the same assignment, ``(chain, draw)``."""
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return xr.DataArray((fractions**2).sum(axis=1).reshape(shape), dims=("chain", "draw"))


def _of_responsibilities(allocations: Allocations, seed: int) -> dict[str, xr.DataArray]:
    """Mean entropy of sampled rows, and the probability that sampled pairs share a component."""
    rows = choose_rows(allocations.unit[1], ROWS, seed)
    generator = np.random.default_rng(seed)
    count = PAIRS if len(rows) > 1 else 0
    pairs = np.array([generator.choice(len(rows), 2, replace=False) for _ in range(count)])
    entropies, together = [], []
    for block in allocations.blocks(rows, cache_bytes=0):
        logarithm = np.log(np.maximum(block, np.finfo(block.dtype).tiny))
        entropies.append(-(block * logarithm).sum(axis=-1).mean(axis=-1))
        if count:
            together.append((block[:, pairs[:, 0]] * block[:, pairs[:, 1]]).sum(axis=-1))
    shape = allocations.shape
    entropy = np.concatenate(entropies).reshape(shape)
    quantities = {"responsibility_entropy": xr.DataArray(entropy, dims=("chain", "draw"))}
    if count:
        names = [f"{rows[one]}~{rows[other]}" for one, other in pairs]
        values = np.concatenate(together).reshape(*shape, count)
        quantities["coassignment"] = xr.DataArray(
            values, dims=("chain", "draw", "pair"), coords={"pair": names}
        )
    return quantities
