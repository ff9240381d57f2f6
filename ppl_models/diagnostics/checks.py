"""Leave-one-out predictive checks, and sensitivity to the prior.

Both reweight the draws at hand by importance weights, computed by ArviZ: leave-one-out probability
integral transforms (Gelman et al. 2013, §6.3; Vehtari, Gelman and Gabry 2017) and power-scaling
sensitivity (Kallioinen et al. 2024).
"""

from __future__ import annotations

import logging
import warnings

import arviz_stats
import jax
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models import memory
from ppl_models.data.kinds import Observed
from ppl_models.data.missing import missing_cells
from ppl_models.diagnostics.label_invariants import invariants
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.posterior.density.prediction import log_densities
from ppl_models.posterior.labels.allocations import Allocations, require_draws
from ppl_models.posterior.result.arviz_axes import with_own_axes
from ppl_models.posterior.result.restore import RestoredFit, restored, thinning
from ppl_models.posterior.result.rotations import rotation_free
from ppl_models.posterior.result.schema import facts_of, refuse_sample, row_weights, thinning_of
from ppl_models.posterior.simulate.predictive import draw_data, refuse_undrawable
from ppl_models.program.densities.units import units_of


def loo_pit(tree: xr.DataTree, *, draws: int = 250, seed: int = 0) -> xr.Dataset:
    """Leave-one-out probability integral transform of every observed cell.

    The predictive distribution function of a cell at its observed value, under the posterior
    without its row. The transforms are uniform if the fit predicts well, concentrated in the middle
    if its predictions are too wide, and at both ends if they are too narrow. Discrete values are
    randomised over the probability of their own value. Gelman et al. (2013), §6.3; the weights are
    those of Vehtari, Gelman and Gabry (2017).

    Args:
        tree: a fit with draws of real, binary, count or categorical data.
        draws: number of draws used per chain, evenly spaced.
        seed: of the replicated data and of the randomisation of discrete values.

    Returns:
        For every emission site, numbers in [0, 1] in the shape of its data; NaN for missing cells.
        The attribute ``largest_pareto_k`` of each tells whether its weights are reliable.

    Raises:
        InputError: a point, or sequences, whose values are not ordered.
        UnsupportedError: a fit whose rows have weights.

    >>> from ppl_models import fit
    >>> x = np.random.default_rng(0).normal(size=50)
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, clusters=1, predictive=0)
    >>> loo_pit(tree)["x"].dims
    ('row',)
    """
    whole_number("seed", seed, minimum=0)
    whole_number("draws", draws)
    require_draws(tree, "leave-one-out prediction")
    if row_weights(tree) is not None:
        raise UnsupportedError(
            "the rows of this fit have weights, so that probability integral transforms are not "
            "uniform: repeat each row as often as it counts (numpy.repeat), and fit without "
            "weights"
        )
    facts = facts_of(tree)
    if any("position" in emission.dims for emission in facts.emissions):
        raise InputError(
            "a probability integral transform needs ordered values, and sequences "
            "have no order: compare fits by loo"
        )
    with restored(tree, draws=_affordable(tree, draws)) as fitted:
        if fitted.structure.unit_count == 1:
            raise UnsupportedError(
                f"the data of {fitted.program} are one exchangeable unit, so that no row can be "
                "left out: compare log_density of held-out data"
            )
        refuse_undrawable(fitted.problem, "replicated data")
        key = jax.random.key(seed)
        replicated = draw_data(fitted.problem, fitted.values, key, fitted.samples)
        weights, shapes = _weights(_density(fitted))
    transforms = {
        name: _transform(
            data.values,
            replicated[name],
            weights[_rows_of(fitted, name, data)],
            shapes,
            data.dims,
            seed,
        )
        for name, data in fitted.observed.items()
        if name in replicated
    }
    labels = {
        dim: values
        for data in fitted.observed.values()
        for dim, values in data.coords.items()
        if dim in data.dims
    }
    return xr.Dataset(transforms).assign_coords(labels)


def _affordable(tree: xr.DataTree, draws: int) -> int:
    """Number of draws per chain whose replicated data fit into memory, at least 25."""
    posterior = tree["posterior"].sizes
    used = len(range(0, posterior["draw"], thinning(posterior["draw"], draws)))
    data = tree["observed_data"].to_dataset().data_vars.values()
    most = memory.REPLICATED_NUMBERS
    cells = used * posterior["chain"] * sum(variable.size for variable in data)
    return draws if cells <= most else min(draws, max(25, draws * most // cells))


def _density(fitted: RestoredFit) -> xr.DataArray:
    """Log-density ``(chain, draw, row)`` of the fitted rows, stored with the fit or computed."""
    tree, total = fitted.tree, fitted.tree["posterior"].sizes["draw"]
    if "log_likelihood" in tree.children and tree["log_likelihood"].sizes["draw"] == total:
        (stored,) = tree["log_likelihood"].dataset.data_vars.values()
        every = thinning_of(total, fitted.shape[1])
        density = stored.transpose("chain", "draw", ...).values[:, ::every]
    else:
        density = log_densities(fitted).values
    return xr.DataArray(density, dims=("chain", "draw", "row"))


def _weights(density: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed leave-one-out log-weights ``(row, sample)`` and Pareto k ``(row,)``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        smoothed, shapes = (-density).azstats.psislw(dim=["chain", "draw"])
    stacked = smoothed.stack(sample=("chain", "draw")).transpose("row", "sample")
    return stacked.values, shapes.values


def _rows_of(fitted: RestoredFit, site: str, data: Observed) -> np.ndarray:
    """The unit of every entry of a site's data: through an index array, or of its series."""
    structure = fitted.structure
    if site in structure.indexed:
        return np.asarray(units_of(fitted.model).rows[site])
    if not structure.panel:
        return np.arange(structure.rows)
    shape, series = data.values.shape, structure.unit_count
    of_series = [i for i, d in enumerate(data.dims) if d == structure.unit and shape[i] == series]
    axis = [*of_series, *(i for i, size in enumerate(shape) if size == series)][0]
    places = np.arange(series).reshape(-1, *[1] * (len(shape) - axis - 1))
    return np.broadcast_to(places, shape).ravel()


def _transform(
    data: np.ndarray,
    replicated: np.ndarray,
    weights: np.ndarray,
    shapes: np.ndarray,
    dims: tuple[str, ...],
    seed: int,
) -> xr.DataArray:
    """The weighted fraction of replicated values below every cell; weights ``(entry, sample)``."""
    rows = len(weights)
    cells, drawn = data.reshape(rows, -1), replicated.reshape(len(replicated), rows, -1)
    fractions = np.exp(weights - weights.max(1, keepdims=True))
    fractions = (fractions / fractions.sum(1, keepdims=True)).T[:, :, None]
    below = (fractions * (drawn < cells)).sum(0)
    equal = (fractions * (drawn == cells)).sum(0)
    spread = np.random.default_rng(seed).uniform(size=cells.shape)
    # the rank of the cell among n effective replications is one of n + 1
    effective = 1 / (fractions**2).sum(0)
    transform = (effective * below + spread * (effective * equal + 1)) / (effective + 1)
    values = np.where(missing_cells(cells), np.nan, transform).reshape(data.shape)
    return xr.DataArray(values, dims=dims, attrs={"largest_pareto_k": float(shapes.max())})


def priors_are_flat(tree: xr.DataTree) -> bool:
    """Whether the log prior density is the same at all draws, but for rounding.

    Args:
        tree: a fit with the group ``log_prior``.
    """
    total = tree["log_prior"].to_dataset().to_dataarray().sum("variable")
    return float(total.max() - total.min()) < 1e-9 * (1 + float(abs(total).max()))


def sensitivity(tree: xr.DataTree, *, threshold: float = 0.05) -> pd.DataFrame:
    """Sensitivity of the posterior to the weight of the prior and of the likelihood.

    Power-scaling of Kallioinen, Paananen, Bürkner and Vehtari (2024), Detecting and diagnosing
    prior and likelihood sensitivity with power-scaling, Statistics and Computing 34.

    Args:
        tree: a fit with draws; clusters in one order (as ``fit`` leaves them).
        threshold: a quantity with a larger distance is called sensitive.

    Returns:
        A row per quantity, label-invariant ones first: distances under power-scaling of the
        ``prior`` and the ``likelihood``, and ArviZ's ``diagnosis``.

    Raises:
        InputError: a point, a tree without log prior densities, or flat priors only.

    >>> from ppl_models import fit
    >>> x = np.random.default_rng(0).normal(size=50)
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, clusters=1, predictive=0)
    >>> sensitivity(tree).columns.tolist()
    ['prior', 'likelihood', 'diagnosis']
    """
    require_draws(tree, "prior sensitivity")
    refuse_sample(tree, "prior sensitivity")
    absent = {"log_prior", "log_likelihood"} - set(tree.children)
    if absent:
        raise InputError(
            f"sensitivity needs the group '{sorted(absent)[0]}', which draws of "
            f"method={tree.attrs.get('method')!r} may lack: use method='nuts', 'gibbs' or 'svi' "
            "where the program allows it"
        )
    likelihood, prior = tree["log_likelihood"].to_dataset(), tree["log_prior"].to_dataset()
    if priors_are_flat(tree):
        raise InputError(
            "all priors are flat, so that the posterior does not depend on them: "
            "there is no sensitivity to compute"
        )
    allocations = Allocations(tree)
    used = slice(None, None, thinning_of(allocations.shape[1], likelihood.sizes["draw"]))

    def thinned(dataset: xr.Dataset) -> xr.Dataset:
        return dataset.isel(draw=used).drop_vars("draw", errors="ignore")

    free = _varying_invariants(allocations)
    posterior = _varying_variables(allocations)
    by_row = likelihood.drop_vars("draw", errors="ignore").to_dataarray().sum("variable")
    rows = [d for d in by_row.dims if d not in ("chain", "draw")]
    if (weights := row_weights(tree)) is not None:
        by_row = by_row * xr.DataArray(weights, dims=rows)
    groups = {
        "posterior": with_own_axes(thinned(free).merge(thinned(posterior), compat="override")),
        "log_prior": thinned(prior),
        "log_likelihood": xr.Dataset({"data": by_row.sum(rows)}),
    }
    log = logging.getLogger("arviz_stats.psense")
    log.addFilter(_no_record)  # ArviZ repeats the column "diagnosis" as a warning
    try:
        return arviz_stats.psense_summary(xr.DataTree.from_dict(groups), threshold=threshold)
    finally:
        log.removeFilter(_no_record)


def _no_record(record: logging.LogRecord) -> bool:
    """Drop every record."""
    return False


def _varying_invariants(allocations: Allocations) -> xr.Dataset:
    """Scalar label-invariant quantities of every draw, without the log posterior."""
    quantities = invariants(allocations, responsibilities=False)
    names = [
        n for n, v in quantities.data_vars.items() if v.ndim == 2 and n != "lp" and v.std() > 0
    ]
    return quantities[names]


def _varying_variables(allocations: Allocations) -> xr.Dataset:
    """The posterior's variables, without those of single rows and constants."""
    unit = allocations.facts.unit
    names = [
        n
        for n, v in allocations.posterior.data_vars.items()
        if unit not in v.dims and bool((v.std(("chain", "draw")) > 0).all())
    ]
    return rotation_free(allocations.tree, allocations.posterior[names])
