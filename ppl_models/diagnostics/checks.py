"""Does the fit predict rows that it has not seen, and how much does the prior decide?

Both by importance weights on the draws at hand, computed by ArviZ: leave-one-out probability
integral transforms (Gelman et al. 2013, §6.3; Vehtari, Gelman and Gabry 2017) and power-scaling
sensitivity (Kallioinen et al. 2024).
"""

from __future__ import annotations

import warnings

import arviz_stats
import jax
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models import memory
from ppl_models.diagnostics.label_invariants import invariants
from ppl_models.errors import InputError, whole_number
from ppl_models.inference.method import Method
from ppl_models.inference.problem import Result
from ppl_models.posterior.density.rows import density_of_draws
from ppl_models.posterior.labels.allocations import require_draws
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.posterior.simulate.predictive import draw_data
from ppl_models.program.precision import scope


def loo_pit(tree: xr.DataTree, *, draws: int = 250, seed: int = 0) -> xr.Dataset:
    """Where every observed cell lies among predictions that were made without its row.

    Uniform numbers where the fit predicts well; heaped in the middle where its predictions are too
    wide, at both ends where they are too narrow. Discrete values are spread at random over the
    probability of their own value.

    Args:
        tree: a fit with draws of real, binary, count or categorical data.
        draws: draws a chain that are used, evenly spaced.
        seed: of the replicated data and of the spreading of discrete values.

    Returns:
        For every emission site, numbers in [0, 1] in the shape of its data; NaN for missing cells.

    Raises:
        InputError: a point, or sequences, which have no order to be placed in.

    >>> from ppl_models import fit
    >>> x = np.random.default_rng(0).normal(size=50)
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, clusters=1, predictive=0)
    >>> loo_pit(tree)["x"].dims
    ('row',)
    """
    whole_number("seed", seed, least=0)
    whole_number("draws", draws)
    require_draws(tree, "leave-one-out prediction")
    with scope(tree.attrs.get("precision", "float64")):
        found = restore(tree, draws=draws)
        if any("position" in o.dims for o in found.observed.values()):
            raise InputError("sequences have no order that a prediction could be above or below")
        cells = sum(o.values.size for o in found.observed.values())
        count = len(next(iter(found.values.values())))
        if cells * count > memory.REPLICATED_NUMBERS and draws > 25:
            return loo_pit(
                tree, draws=max(25, draws * memory.REPLICATED_NUMBERS // (cells * count)), seed=seed
            )
        replicated = draw_data(found.problem, found.values, jax.random.key(seed), count)
        density = _density(tree, found, draws)
    weights, shapes = _weights(density)
    places = {
        name: _place(data.values, replicated[name], weights, shapes, data.dims, seed)
        for name, data in found.observed.items()
        if name in replicated
    }
    named = {
        dim: labels
        for data in found.observed.values()
        for dim, labels in data.coords.items()
        if dim in data.dims
    }
    return xr.Dataset(places).assign_coords(named)


def _density(tree: xr.DataTree, found: RestoredFit, draws: int) -> xr.DataArray:
    """Log-density ``(chain, draw, row)`` of the fitted rows: the fit's own, if of all draws."""
    total = tree["posterior"].sizes["draw"]
    if "log_likelihood" in tree.children and tree["log_likelihood"].sizes["draw"] == total:
        (held,) = tree["log_likelihood"].dataset.data_vars.values()
        used = np.arange(total)[:: max(1, total // draws)]  # as ``restore`` takes them
        kept = held.transpose("chain", "draw", ...).isel(draw=used).values
        return xr.DataArray(kept, dims=("chain", "draw", "row"))
    shaped = {n: v.reshape(*found.shape, *v.shape[1:]) for n, v in found.values.items()}
    result = Result(shaped, Method("draws"), {})
    density = density_of_draws(found.problem, result, memory.REPLICATED_NUMBERS * 10).log_density
    return xr.DataArray(density, dims=("chain", "draw", "row"))


def _weights(density: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed leave-one-out log-weights ``(row, sample)`` and Pareto k ``(row,)``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        smoothed, shapes = (-density).azstats.psislw(dim=["chain", "draw"])
    stacked = smoothed.stack(sample=("chain", "draw")).transpose("row", "sample")
    return stacked.values, shapes.values


def _place(
    data: np.ndarray,
    replicated: np.ndarray,
    weights: np.ndarray,
    shapes: np.ndarray,
    dims: tuple[str, ...],
    seed: int,
) -> xr.DataArray:
    """The weighted share of replications below every cell."""
    rows = len(data)
    flat, drawn = data.reshape(rows, -1), replicated.reshape(len(replicated), rows, -1)
    share = np.exp(weights - weights.max(1, keepdims=True))
    share = (share / share.sum(1, keepdims=True)).T[:, :, None]
    below = (share * (drawn < flat)).sum(0)
    equal = (share * (drawn == flat)).sum(0)
    spread = np.random.default_rng(seed).uniform(size=flat.shape)
    # so many replications leave a gap of one between them in which the cell may lie
    effective = 1 / (share**2).sum(0)
    place = (effective * below + spread * (effective * equal + 1)) / (effective + 1)
    gaps = np.isnan(flat) if flat.dtype.kind == "f" else flat < 0
    found = np.where(gaps, np.nan, place).reshape(data.shape)
    return xr.DataArray(found, dims=dims, attrs={"largest_pareto_k": float(shapes.max())})


def sensitivity(tree: xr.DataTree, *, threshold: float = 0.05) -> pd.DataFrame:
    """How much the posterior moves when the prior, or the likelihood, is weighed a bit more.

    Args:
        tree: a fit with draws; clusters in one order (as ``fit`` leaves them).
        threshold: a distance from which on a quantity is called sensitive.

    Returns:
        A line a quantity, label-free ones first: distances under a changed ``prior`` and
        ``likelihood``, and ArviZ's ``diagnosis``.

    Raises:
        InputError: a point, a tree without log prior densities, or priors that are all flat.

    >>> from ppl_models import fit
    >>> x = np.random.default_rng(0).normal(size=50)
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, clusters=1, predictive=0)
    >>> sensitivity(tree).columns.tolist()
    ['prior', 'likelihood', 'diagnosis']
    """
    require_draws(tree, "prior sensitivity")
    missing = {"log_prior", "log_likelihood"} - set(tree.children)
    if missing:
        raise InputError(f"the tree has no group '{sorted(missing)[0]}': fit again")
    weighed = tree["log_prior"].to_dataset().to_dataarray().sum("variable")
    if float(weighed.max() - weighed.min()) < 1e-9 * (1 + float(abs(weighed).max())):
        raise InputError("all priors are flat: weighing them more or less would change nothing")
    likelihood = tree["log_likelihood"].to_dataset()
    units = {str(tree.attrs.get("plate", "row"))}
    posterior = tree["posterior"].to_dataset()
    names = [n for n, v in posterior.data_vars.items() if not units & set(v.dims)]
    posterior = posterior[names].isel(draw=_kept(posterior, likelihood))
    free = invariants(tree).isel(draw=_kept(tree["posterior"].to_dataset(), likelihood))
    free = free[
        [n for n, v in free.data_vars.items() if v.ndim == 2 and n != "lp" and float(v.std()) > 0]
    ]
    varying = [
        n for n, v in posterior.data_vars.items() if bool((v.std(("chain", "draw")) > 0).all())
    ]
    quantities = free.drop_vars("draw", errors="ignore").merge(
        posterior[varying].drop_vars("draw", errors="ignore"), compat="override"
    )
    prior = tree["log_prior"].to_dataset()
    prior = prior.isel(draw=_kept(prior, likelihood)).drop_vars("draw", errors="ignore")
    total = likelihood.drop_vars("draw", errors="ignore").to_dataarray().sum("variable")
    rows = [d for d in total.dims if d not in ("chain", "draw")]
    shown = xr.DataTree.from_dict({
        "posterior": quantities,
        "log_prior": prior,
        "log_likelihood": xr.Dataset({"data": total.sum(rows)}),
    })  # fmt: skip
    return arviz_stats.psense_summary(shown, threshold=threshold)


def _kept(posterior: xr.Dataset, likelihood: xr.Dataset) -> slice:
    """The draws that pointwise log-likelihoods are kept of."""
    return slice(None, None, -(-posterior.sizes["draw"] // likelihood.sizes["draw"]))
