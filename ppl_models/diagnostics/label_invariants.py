"""What a posterior says whatever its components are called, for diagnostics to look at.

R-hat of a component's parameter is high on a perfectly good fit when chains number components
differently. The quantities here do not change under renumbering, so when they disagree between
chains, the chains disagree.
"""

from __future__ import annotations

from collections.abc import Iterator

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.posterior.labels.allocations import (
    ASSIGNMENT,
    Responsibilities,
    ResponsibilityBlocks,
    choose_rows,
    cluster_count,
    component_count,
    dataset_of,
    drawn_assignments,
    unit_dimension,
)
from ppl_models.posterior.labels.apply import is_component_wise
from ppl_models.posterior.labels.convergence import strides

#: Rows whose mixture density is followed.
POINTS = 5
#: Rows whose responsibilities are computed, and pairs of them that are followed.
ROWS = 100
PAIRS = 5
#: Entries of one variable in the table, at most; larger variables are thinned.
ENTRIES = 100

COLUMNS = ("kind", "r_hat", "ess_bulk", "ess_tail")


def invariants(
    tree: xr.DataTree, *, responsibilities: Responsibilities | None = None, seed: int = 0
) -> xr.Dataset:
    """Label-free quantities of every draw, as far as the tree holds what they need.

    Args:
        tree: a result with draws.
        responsibilities: ``(tree, rows=, draws=) -> (draw, row, cluster)``; without it the last
            two quantities are left out.
        seed: of sampled rows and pairs.

    Returns:
        Variables with dims chain, draw and perhaps one more: ``lp``; ``total_log_likelihood``;
        ``log_density (point)``, the mixture's at a few rows; ``sorted_weights (rank)``;
        ``assignment_agreement``, the share of pairs of rows that a draw puts together;
        ``responsibility_entropy``, mean over sampled rows, in nats; ``coassignment (pair)``.
    """
    found: dict[str, xr.DataArray] = {}
    if "sample_stats" in tree.children and "lp" in dataset_of(tree, "sample_stats"):
        found["lp"] = _plain(dataset_of(tree, "sample_stats")["lp"])
    found |= _of_log_likelihood(tree)
    posterior = dataset_of(tree, "posterior")
    if "weights" in posterior and posterior["weights"].dims[2:] == ("cluster",):
        weights = -np.sort(-posterior["weights"].values, axis=-1)
        found["sorted_weights"] = xr.DataArray(weights, dims=("chain", "draw", "rank"))
    if ASSIGNMENT in posterior:
        found["assignment_agreement"] = _agreement(tree)
    if responsibilities is not None and component_count(tree):
        found |= _of_responsibilities(tree, responsibilities, seed)
    return xr.Dataset(found)


def convergence_table(tree: xr.DataTree, quantities: xr.Dataset) -> pd.DataFrame:
    """R-hat and ESS, by ArviZ, of invariants and of the posterior's variables.

    Returns:
        A row a number: its name as in ``loc[0, width]``; columns ``kind`` (``"invariant"``;
        ``"parameter"``, which has no component; ``"component"``), ``r_hat`` (rank-normalised,
        split), ``ess_bulk``, ``ess_tail``. Numbers that never move are left out.
    """
    rows = {name: (kind, *_arviz(values)) for name, kind, values in numbers(tree, quantities)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))


def numbers(tree: xr.DataTree, quantities: xr.Dataset) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, kind and draws ``(chain, draw)`` of every number that moves, in the table's order."""
    for name, variable in quantities.data_vars.items():
        for label, values in _entries(variable.rename(name)):
            yield label, "invariant", values
    for name, variable in dataset_of(tree, "posterior").data_vars.items():
        if name != ASSIGNMENT and {"chain", "draw"} <= set(variable.dims):
            kind = "component" if is_component_wise(variable) else "parameter"
            for label, values in _entries(variable.rename(name)):
                yield label, kind, values


def _entries(variable: xr.DataArray) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of one variable that move, thinned, named by their coordinates."""
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
    """R-hat, bulk and tail ESS of ``(chain, draw)``; inf where chains stand still apart."""
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


def _of_log_likelihood(tree: xr.DataTree) -> dict[str, xr.DataArray]:
    """The total log likelihood and the log density at a few rows."""
    if "log_likelihood" not in tree.children:
        return {}
    group = dataset_of(tree, "log_likelihood")
    site = tree.attrs.get("data_site", next(iter(group.data_vars), None))
    if site not in group.data_vars:
        return {}
    values = _plain(group[site])
    total = values.sum(values.dims[2:]) if values.ndim > 2 else values
    found = {"total_log_likelihood": total}
    if values.ndim == 3:
        count = values.shape[2]
        rows = np.unique(np.linspace(0, count - 1, min(count, POINTS)).astype(int))
        names = [str(name) for name in group[site][group[site].dims[-1]].values[rows]]
        chosen = values.isel({values.dims[2]: rows}).rename({values.dims[2]: "point"})
        found["log_density"] = chosen.assign_coords(point=names)
    return found


def _agreement(tree: xr.DataTree) -> xr.DataArray:
    """The share of ordered pairs of rows that have the same assignment, ``(chain, draw)``."""
    drawn = drawn_assignments(tree)
    assert drawn is not None
    clusters = max(cluster_count(tree), int(drawn.max()) + 1)
    counts = np.array([np.bincount(row[row >= 0], minlength=clusters) for row in drawn])
    share = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) ** 2
    sizes = dataset_of(tree, "posterior").sizes
    return xr.DataArray(
        share.sum(axis=1).reshape(sizes["chain"], sizes["draw"]), dims=("chain", "draw")
    )


def _of_responsibilities(
    tree: xr.DataTree, function: Responsibilities, seed: int
) -> dict[str, xr.DataArray]:
    """Mean entropy of sampled rows, and the probability that sampled pairs belong together."""
    rows = choose_rows(unit_dimension(tree)[1], ROWS, seed)
    blocks = ResponsibilityBlocks(tree, rows, function, cache_bytes=0)
    generator = np.random.default_rng(seed)
    most = PAIRS if len(rows) > 1 else 0
    pairs = np.array([generator.choice(len(rows), 2, replace=False) for _ in range(most)])
    entropies, together = [], []
    for block in blocks:
        logarithm = np.log(np.maximum(block, np.finfo(block.dtype).tiny))
        entropies.append(-(block * logarithm).sum(axis=-1).mean(axis=-1))
        if most:
            together.append((block[:, pairs[:, 0]] * block[:, pairs[:, 1]]).sum(axis=-1))
    sizes = dataset_of(tree, "posterior").sizes
    shape = (sizes["chain"], sizes["draw"])
    entropy = np.concatenate(entropies).reshape(shape)
    found = {"responsibility_entropy": xr.DataArray(entropy, dims=("chain", "draw"))}
    if most:
        names = [f"{rows[one]}~{rows[other]}" for one, other in pairs]
        values = np.concatenate(together).reshape(*shape, most)
        found["coassignment"] = xr.DataArray(
            values, dims=("chain", "draw", "pair"), coords={"pair": names}
        )
    return found
