"""Log-density and cluster probabilities of rows, those of the fit or new ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import memory
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError
from ppl_models.posterior.density.locals import integrated_log_density
from ppl_models.posterior.density.responsibilities import responsibilities
from ppl_models.posterior.density.rows import logits_in_blocks, of_units
from ppl_models.posterior.density.sequences import sequence_site
from ppl_models.posterior.result.names import NAMES, component_labels
from ppl_models.posterior.result.restore import RestoredFit, restored
from ppl_models.program.chains.chain_densities import hidden_steps


def log_density(
    tree: xr.DataTree, data: Any = None, *, by_draw: bool = False, draws: int | None = None
) -> xr.DataArray:
    """Log-density of rows, or log-probability of whole sequences, assignments summed out.

    The posterior predictive density p(x | data) = E[p(x | θ)] over the draws of θ; Gelman et al.
    (2013), Bayesian Data Analysis, §1.3.

    Args:
        tree: a fit.
        data: new rows in any container that ``fit`` takes (default: the fitted ones). Missing
            cells are marginalised, where the program's emission can do that.
        by_draw: one value a draw, ``(chain, draw, row)``, instead of the density's mean over draws.
        draws: use at most this many draws a chain.

    Returns:
        In nats, ``(row,)`` or ``(sequence,)``; with chain and draw before it if ``by_draw``.
        ``-inf`` for a row that no draw of the fit could have made. The steps of a scan are one
        unit, ``(series,)``, of one series or of each in its plate. A network, whose cells depend on
        the clusters of two rows, is one unit, and its value a lower bound. Continuous sites of the
        rows (factor scores, random effects, paths) are integrated out, and the attributes say
        which; where that is done by importance sampling the coordinate ``standard_error`` says how
        exactly.

    Raises:
        InputError: rows that do not have the fit's features, levels or tokens, or whose missing
            cells a network or a chain of n-grams cannot marginalise.

    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 9, 8, 9], method="em", seed=0, clusters=1)
    >>> log_density(tree, [2, 30]).values.round(1).tolist()
    [-2.6, -30.5]
    """
    with restored(tree, data, draws=draws) as fitted:
        refuse_missing(fitted)
        if fitted.structure.locals:
            return integrated_log_density(fitted, by_draw=by_draw)
        if by_draw:
            return log_densities(fitted)
        return mean_log_density(fitted)


def mean_log_density(fitted: RestoredFit) -> xr.DataArray:
    """Logarithm of the density's mean over draws, ``(unit,)``, by a running log-sum-exp."""
    units = fitted.structure.unit_count
    highest, scaled = np.full(units, -np.inf), np.zeros(units)
    for _, block, row_logits in logits_in_blocks(fitted.problem, fitted.values):
        density = of_units(row_logits.summed_out()[0].astype(np.float64), fitted.structure)
        block = block[:units]
        top = np.maximum(highest[block], density.max(0))
        finite = np.where(np.isfinite(top), top, 0)
        before = scaled[block] * np.exp(highest[block] - finite)
        scaled[block] = before + np.exp(density - finite).sum(0)
        highest[block] = top
    with np.errstate(divide="ignore"):
        mean = highest + np.log(scaled) - np.log(fitted.samples)
    coords = fitted.unit_coordinates()
    return xr.DataArray(mean, coords, tuple(coords), name="log_density")


def log_densities(fitted: RestoredFit) -> xr.DataArray:
    """Log-densities ``(chain, draw, row)``."""
    units = fitted.structure.unit_count
    table = np.empty((fitted.samples, units))
    for samples, block, row_logits in logits_in_blocks(fitted.problem, fitted.values):
        density = row_logits.summed_out()[0].astype(np.float64)
        table[samples, block[:units]] = of_units(density, fitted.structure)
    coords = fitted.unit_coordinates()
    by_chain = table.reshape(*fitted.shape, units)
    return xr.DataArray(by_chain, coords, ("chain", "draw", *coords), name="log_density")


def refuse_missing(fitted: RestoredFit) -> None:
    """Refuse rows with missing cells that the program cannot marginalise.

    Raises:
        InputError: which row, and what to do.
    """
    for site, reading in fitted.observed.items():
        missing = missing_cells(reading.values)
        if not missing.any() or (written := sequence_site(fitted)) is None:
            continue
        if written[1].needs_whole_rows:
            row = int(missing.reshape(len(missing), -1).any(1).argmax())
            raise InputError(
                f"{reading.dims[0]} {row} of {site} has a missing cell, and "
                f"{type(written[1]).__name__} has no density of a row with missing cells: fill it "
                "in with impute"
            )


def predict(
    tree: xr.DataTree,
    data: Any = None,
    *,
    by_draw: bool = False,
    draws: int | None = None,
    site: str | None = None,
) -> xr.DataArray:
    """Posterior probabilities of the clusters that rows belong to (responsibilities).

    p(z = k | x) averaged over the draws of the parameters; Bishop (2006), Pattern Recognition and
    Machine Learning, §9.2.

    Args:
        tree: a fit of a program with a discrete assignment of rows, or whose emission is a
            mixture distribution, the terms of which are its clusters.
        data: new rows (default: the fitted ones); missing cells are marginalised.
        by_draw: one table a draw instead of their mean.
        draws: use at most this many draws a chain.
        site: one of several discrete sites of the program, whose values are predicted; without it
            the clusters are the combinations of all their values, the last site's the fastest.

    Returns:
        ``(row, cluster)``, of a site ``(row, site's name)``; with chain and draw before it if
        ``by_draw``. Of the states of several series in a scan ``(series, step, cluster)``, NaN
        where a mask of the program hides a step. Methods with hard assignments give zeros and ones,
        and follow the best state path of every cluster where states are hidden. Of the nodes of a
        network the shares of the clusters among the draws, or a mean-field approximation.

    Raises:
        InputError: a program without clusters, or rows that do not fit.

    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 2, 30, 28, 29], method="em", seed=0, clusters=2)
    >>> predict(tree, [2, 31]).values.round(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    with restored(tree, data, draws=draws) as fitted:
        if fitted.problem.terms:
            if site is not None:
                raise InputError(f"site is {site!r}, and {fitted.program} has no discrete site")
            return term_probabilities(fitted, by_draw=by_draw)
        if fitted.facts.assignment is None:
            raise InputError(
                f"the program {fitted.program} assigns rows to no clusters, so that there is "
                f"nothing to predict: use {_alternative(fitted)}"
            )
        probabilities = cluster_probabilities(fitted, by_draw=by_draw)
        return probabilities if site is None else _of_site(probabilities, fitted, site)


def _of_site(table: xr.DataArray, fitted: RestoredFit, site: str) -> xr.DataArray:
    """Probabilities of one discrete site's values, the others summed out."""
    structure = fitted.structure
    names = {n: n for n in structure.discrete}
    if structure.labelled is not None:  # NumPyro's name of its unknown values
        names = {n.removesuffix("_unobserved"): n for n in names}
    if site not in names:
        raise InputError(f"site is {site!r}: the discrete sites of the rows are {', '.join(names)}")
    values = structure.values_of(np.arange(structure.clusters))[names[site]]
    labelled = table.assign_coords({site: ("cluster", values)})
    return labelled.groupby(site).sum("cluster", skipna=False).transpose(..., site)


def term_probabilities(fitted: RestoredFit, *, by_draw: bool = False) -> xr.DataArray:
    """:func:`predict` where the emission is a mixture distribution."""
    shape = (fitted.structure.rows, fitted.problem.terms)
    at_once = max(1, memory.DENSITY_NUMBERS // (shape[0] * shape[1]))
    table: np.ndarray = np.zeros((fitted.samples, *shape) if by_draw else shape)
    for first in range(0, fitted.samples, at_once):
        block = slice(first, min(first + at_once, fitted.samples))
        blocks = responsibilities(fitted, None, block)
        if by_draw:
            table[block] = blocks
        else:
            table += blocks.sum(0, dtype=np.float64) / fitted.samples
    coords = fitted.row_coordinates() | {"cluster": _labels(fitted, shape[1])}
    dims: tuple[str, ...] = (fitted.unit, "cluster")
    if by_draw:
        table, dims = table.reshape(*fitted.shape, *shape), ("chain", "draw", *dims)
    return xr.DataArray(table, coords, dims, name="responsibilities")


def cluster_probabilities(fitted: RestoredFit, *, by_draw: bool = False) -> xr.DataArray:
    """:func:`predict` of a restored fit."""
    structure = fitted.structure
    shape = (structure.rows, structure.clusters)
    if structure.coupled and fitted.fitted and fitted.samples > 1:
        return _of_drawn(fitted, by_draw=by_draw)
    table: np.ndarray = np.zeros((fitted.samples, *shape) if by_draw else shape)
    assignments = fitted.facts.assignments
    hard = assignments == "hard"
    blocks = logits_in_blocks(fitted.problem, fitted.values, assignments=assignments)
    for samples, block, row_logits in blocks:
        if by_draw:
            table[samples, block] = row_logits.responsibilities(hard=hard)
        elif hard:
            table[block] += row_logits.responsibilities(hard=True).sum(0) / fitted.samples
        else:
            table[block] += row_logits.summed_out()[1].T / fitted.samples
    leading = ("chain", "draw") if by_draw else ()
    probabilities = table.reshape(*fitted.shape, *shape) if by_draw else table
    if structure.chain is not None:
        probabilities[..., hidden_steps(fitted.model, structure), :] = np.nan
    by_row = fitted.by_row(probabilities, leading, ("cluster",), "responsibilities")
    return by_row.assign_coords(cluster=_labels(fitted, shape[1]))


def _labels(fitted: RestoredFit, count: int) -> np.ndarray:
    """The coordinate of the clusters: their numbers, or names."""
    if NAMES in fitted.tree.attrs:
        return component_labels(fitted.tree, count)
    return np.arange(count)


def _of_drawn(fitted: RestoredFit, *, by_draw: bool) -> xr.DataArray:
    """Cluster frequencies among drawn assignments, for networks, where no exact sum is possible."""
    drawn = fitted.tree["posterior"]["assignment"]
    every = math.ceil(drawn.sizes["draw"] / fitted.shape[1])
    drawn = drawn.isel(draw=slice(None, None, every))
    clusters = xr.DataArray(np.arange(fitted.structure.clusters), dims="cluster")
    table = (drawn == clusters).astype(float)
    table = table if by_draw else table.mean(("chain", "draw"))
    leading = ("chain", "draw") if by_draw else ()
    values = table.transpose(*leading, fitted.unit, "cluster").values
    probabilities = fitted.by_row(values, leading, ("cluster",), "responsibilities")
    return probabilities.assign_coords(cluster=clusters.values)


def _alternative(fitted: RestoredFit) -> str:
    """The function to use instead, for a program without clusters."""
    if fitted.facts.states:
        return "state_probabilities or best_paths for the hidden states"
    if fitted.facts.emission.kind == "Graphs":
        return "log_density or generate_graphs"
    return "log_density" if fitted.structure.undrawable else "log_density, generate or impute"
