"""Tables of a report that answer what the user of one program asks.

A program's file has a function ``report_tables(tree)`` that returns heading -> (text, table); the
report shows these before the tables of all parameters.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

Tables = dict[str, tuple[str, pd.DataFrame]]
INTERVAL = 0.94
WORDS = 10  #: most probable entries that a table names


def samples(tree: xr.DataTree, name: str, *dims: str) -> np.ndarray | None:
    """Draws of a site ``(sample, ...)`` with its axes in the given order; None without the site.

    Args:
        tree: a fit.
        name: of the site.
        dims: its axes.
    """
    posterior = tree["posterior"].dataset
    if name not in posterior:
        return None
    stacked = posterior[name].stack(sample=("chain", "draw"))
    return np.asarray(stacked.transpose("sample", *dims).values)


def names(tree: xr.DataTree, name: str, dim: str) -> list[str]:
    """The labels of an axis of a site, numbers where it has none."""
    values = tree["posterior"].dataset[name]
    if dim in values.coords:
        return [str(label) for label in values[dim].values]
    return [str(place) for place in range(values.sizes[dim])]


def with_interval(draws: np.ndarray) -> str:
    """Mean and interval of some draws as text; the number alone where there is one.

    >>> with_interval(np.array([0.5])), with_interval(np.array([0.4, 0.5, 0.6]))
    ('0.50', '0.50 (0.41 to 0.59)')
    >>> with_interval(np.array([-0.0021, -0.0042])), with_interval(np.array([310.0, 520.0]))
    ('−0.0032 (−0.0041 to −0.0022)', '415 (316 to 514)')
    """
    low, high = np.quantile(draws, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    size = high - low if high > low else min(abs(float(draws.mean())), 1.0)
    rounded = 2 if size == 0 or 0.02 <= size < 20 else 1 - int(np.floor(np.log10(size)))
    places = max(0, min(rounded, 6))

    def text(value: float) -> str:
        written = f"{value:,.{places}f}"
        plain = written.lstrip("-") if float(written.replace(",", "")) == 0 else written
        return plain.replace("-", "−")

    if len(draws) == 1:
        return text(float(draws[0]))
    return f"{text(draws.mean())} ({text(low)} to {text(high)})"


def of_interval(tree: xr.DataTree) -> str:
    """What the numbers of :func:`with_interval` are, as the end of a sentence."""
    if samples_of(tree) == 1:
        return ""
    return f" Posterior means and {INTERVAL:.0%} intervals."


def samples_of(tree: xr.DataTree) -> int:
    """Number of draws of all chains."""
    sizes = tree["posterior"].sizes
    return int(sizes["chain"] * sizes["draw"])


def odds_ratios(tree: xr.DataTree, slope: str = "slope") -> Tables:
    """What covariates do to the odds of the clusters, against the first one.

    Args:
        tree: a fit of a program with :func:`~ppl_models.models._covariates.membership_logits`.
        slope: the site of the effects.
    """
    draws = samples(tree, slope, "covariate", "cluster")
    if draws is None or draws.shape[2] < 2:
        return {}
    covariates, clusters = (names(tree, slope, dim) for dim in ("covariate", "cluster"))
    ratio = np.exp(draws - draws[:, :, :1])
    columns = {
        clusters[k]: [with_interval(ratio[:, j, k]) for j in range(len(covariates))]
        for k in range(1, len(clusters))
    }
    text = (
        "Factor by which the odds of a cluster, against those of the first, change where a "
        f"covariate is higher by one unit.{of_interval(tree)}"
    )
    table = pd.DataFrame(columns, index=pd.Index(covariates, name="covariate"))
    return {"Who belongs to which cluster?": (text, table)}
