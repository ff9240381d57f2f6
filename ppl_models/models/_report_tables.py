"""Tables of a report that answer what the user of one program asks.

A program's file has a function ``report_tables(tree)`` that returns heading -> (text, table); the
report shows these before the tables of all parameters.
"""

from __future__ import annotations

import json

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
        f"{clusters[k]} against {clusters[0]}": [
            with_interval(ratio[:, j, k]) for j in range(len(covariates))
        ]
        for k in range(1, len(clusters))
    }
    text = (
        "Factor by which the odds of a cluster, against those of the first, change where a "
        f"covariate is higher by one unit.{of_interval(tree)}"
    )
    table = pd.DataFrame(columns, index=pd.Index(covariates, name="covariate"))
    return {"Who belongs to which cluster?": (text, table)}


def coefficients(tree: xr.DataTree, family: str = "gaussian") -> Tables:
    """Regression coefficients of every cluster, of sites "intercept", "slope" and "scale".

    Args:
        tree: a fit of a program with :func:`~ppl_models.models._responses.regression_lines`.
        family: of the responses: "gaussian", "bernoulli" or "poisson".
    """
    intercept, slope = (
        samples(tree, "intercept", "cluster"),
        samples(tree, "slope", "cluster", "covariate"),
    )
    if intercept is None or slope is None:
        return {}
    covariates, clusters = (names(tree, "slope", dim) for dim in ("covariate", "cluster"))
    what, adds = {
        "gaussian": ("mean response", "what a covariate that is higher by one unit adds to it"),
        "bernoulli": ("odds of a one", "the factor by which one unit of a covariate multiplies it"),
        "poisson": ("mean count", "the factor by which one unit of a covariate multiplies it"),
    }[family]
    scale = samples(tree, "scale", "cluster") if family == "gaussian" else None
    shown = (lambda draws: draws) if family == "gaussian" else np.exp
    columns = {}
    for k, name in enumerate(clusters):
        column = [shown(intercept[:, k]), *(shown(slope[:, k, j]) for j in range(len(covariates)))]
        column += [] if scale is None else [scale[:, k]]
        columns[f"cluster {name}" if name.isdigit() else name] = [with_interval(c) for c in column]
    rows = [f"{what} at the covariates' means", *covariates]
    rows += [] if scale is None else ["standard deviation of the noise"]
    text = f"In every cluster the {what} at the means of the covariates, and {adds}."
    table = pd.DataFrame(columns, index=pd.Index(rows, name=""))
    return {"How does the response depend on the covariates?": (text + of_interval(tree), table)}


def zeros_and_rates(tree: xr.DataTree, gate: str, rate: str) -> Tables:
    """How often each feature of a cluster is zero by the gate, and the counts otherwise.

    Args:
        tree: a fit with sites "gate", "rate" and perhaps "size".
        gate: what the gate's probability is, in words.
        rate: what the rate is, in words.
    """
    site = tree["posterior"].dataset.get("gate")
    if site is None:
        return {}
    dims = ["cluster", *(["feature"] if "feature" in site.dims else [])]
    clusters = names(tree, "gate", "cluster")
    features = names(tree, "gate", "feature") if len(dims) > 1 else [""]
    columns = {}
    for name, what in (("gate", gate), ("rate", rate), ("size", "size (the smaller, the wider)")):
        draws = samples(tree, name, *dims)
        if draws is not None:
            flat = draws.reshape(len(draws), -1)
            columns[what] = [with_interval(flat[:, i]) for i in range(flat.shape[1])]
    index = pd.MultiIndex.from_product([clusters, features], names=["cluster", "feature"])
    table = pd.DataFrame(columns, index=index if len(dims) > 1 else index.droplevel(1))
    return {"How many zeros, and what counts else?": (of_interval(tree).strip(), table)}


def family_of(tree: xr.DataTree) -> str:
    """The argument ``family`` that a program was fitted with."""
    return str(json.loads(tree.attrs.get("arguments", "{}")).get("family", "gaussian"))
