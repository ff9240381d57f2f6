"""Criteria by number of clusters or states."""

from __future__ import annotations

from collections.abc import Sequence

import arviz_plots
import numpy as np
import pandas as pd
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.panels import figure_of, new_panels, panel
from ppl_models.plots.drawing.place import add_key
from ppl_models.plots.drawing.reading import group
from ppl_models.plots.drawing.style import cluster_colors, headline, ink

NAMES = {
    "bic": "BIC", "aic": "AIC", "icl": "ICL", "elpd": "ELPD", "elpd_loo": "ELPD (LOO)",
    "elpd_kfold": "ELPD (K-fold)", "heldout": "held-out log density",
    "log_likelihood": "log-likelihood", "inertia": "J (inertia)",
}  # fmt: skip
#: Drawn only when asked for: they always prefer more clusters, so their best says nothing.
ON_REQUEST = ("log_likelihood", "inertia")
HIGHER_IS_BETTER = ("elpd", "elpd_loo", "elpd_kfold", "heldout", "log_likelihood")
ERRORS = {"elpd": "se", "elpd_loo": "se", "elpd_kfold": "se"}
SIZES = ("clusters", "states")  #: what the number of candidates is called
VARIED = ("covariance", "family", "model", "program")  #: what else candidates may differ in
MARKERS = "osD^vP*X"


@register_plot(
    section="number of clusters",
    order=50,
    caption="Criteria by number of clusters; the best is ringed.",
    serves=lambda tree, emission: "comparison" in tree.children,
)
def plot_comparison(
    table: pd.DataFrame | xr.Dataset | xr.DataTree,
    *,
    criteria: Sequence[str] | None = None,
    higher_is_better: Sequence[str] = HIGHER_IS_BETTER,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Criteria by number of clusters, one line a kind of covariance, the best marked by a ring.

    A column `states` instead of `clusters` is the number of hidden states.

    A table of `arviz.compare` (with `elpd_diff` and no `clusters`) is drawn by ArviZ's own
    `plot_compare`: ELPD with standard errors of the differences.

    Args:
        table: a column or index level `clusters` (or a fit with such a table as its group
            `comparison`), what else was varied (the other names in
            `table.attrs["best"]`, or columns named `covariance`, `family`, `model`, `program`),
            and columns of criteria (`bic`, `aic`, `icl`, `elpd` with `se`, `heldout`, ...).
            Fits marked in a column `collapsed` are never the best.
        criteria: which columns to draw; without it those with a known name and values.
        higher_is_better: criteria whose largest value is the best; of others the smallest is.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: a collection over the dim `criterion`.
        backend: only "matplotlib".

    Raises:
        InputError: when the table has neither criteria nor numbers of clusters.

    Example:
        >>> table = pd.DataFrame({"clusters": [1, 2, 3], "bic": [30.0, 10.0, 20.0]})
        >>> plot_comparison(table).viz["plot"].sizes
        Frozen({'criterion': 1})
    """
    if isinstance(table, xr.DataTree):
        table = group(table, "comparison", "plot_comparison")
    frame = table.to_dataframe() if isinstance(table, xr.Dataset) else table
    sizes = {*frame.columns, *frame.index.names} & set(SIZES)
    if "elpd_diff" in frame and not sizes:
        return _compare(frame, backend)
    varied = [str(name).lower() for name in frame.attrs.get("best", {}) if name not in SIZES]
    frame = frame.reset_index() if set(frame.index.names) != {None} else frame
    frame = frame.rename(columns=lambda name: str(name).lower())
    wanted = [name.lower() for name in criteria] if criteria else _known(frame)
    size = next((name for name in SIZES if name in frame), None)
    if size is None or not wanted or not set(wanted) <= set(frame.columns):
        raise InputError(
            "plot_comparison needs a column 'clusters' (or 'states') and columns of criteria "
            f"(such as bic or elpd_loo); the table has {', '.join(map(str, frame.columns))}."
        )
    wrap = min(len(wanted), 3)
    lines = -(-len(wanted) // wrap)
    made = plot_collection or new_panels(
        {"criterion": wanted}, size=({1: 6.6, 2: 9.4}.get(wrap, 11.4), 3.6 * lines + 0.3),
        columns=["criterion"], wrap=wrap, backend=backend,
    )  # fmt: skip
    variants = _variants(frame, varied)
    for name in wanted:
        best = name in [other.lower() for other in higher_is_better]
        _draw_criterion(panel(made, criterion=name), frame, variants, name, size, largest=best)
    if len(variants) > 1:
        handles, labels = panel(made, criterion=wanted[0]).get_legend_handles_labels()
        columns = min(6, len(labels))
        add_key(figure_of(made), handles, labels, loc="outside lower center", ncols=columns)
    return made


def _compare(frame: pd.DataFrame, backend: str) -> PlotCollection:
    """ArviZ's comparison with a headline in the house style."""
    size = (7.2, 1.4 + 0.45 * len(frame))
    made = arviz_plots.plot_compare(
        frame, backend=backend, figure_kwargs={"figsize": size, "figsize_units": "inches"},
        visuals={"title": False},
    )  # fmt: skip
    headline(
        made.viz["plot"].item(),
        "Expected log predictive density",
        "difference to the best and its standard error; higher is better",
    )
    return made


def _known(frame: pd.DataFrame) -> list[str]:
    names = [name for name in NAMES if name in frame and name not in ON_REQUEST]
    return [name for name in names if np.isfinite(frame[name].to_numpy(float)).any()]


def _variants(frame: pd.DataFrame, varied: list[str]) -> dict[str, pd.DataFrame]:
    """The rows of each variant (one without a name where nothing but the clusters varies)."""
    columns = [name for name in varied or VARIED if name in frame]
    if not columns:
        return {"": frame}
    return {", ".join(map(str, names)): part for names, part in frame.groupby(columns, sort=False)}


def _draw_criterion(
    target: Axes,
    frame: pd.DataFrame,
    variants: dict[str, pd.DataFrame],
    name: str,
    size: str,
    *,
    largest: bool,
) -> None:
    error = ERRORS.get(name, f"{name}_se")
    error = error if error in frame else f"{name}_se"
    for index, (variant, color) in enumerate(
        zip(variants, cluster_colors(len(variants)), strict=True)
    ):
        part = variants[variant].sort_values(size)
        x, y = part[size].to_numpy(float), part[name].to_numpy(float)
        target.plot(x, y, color=color, marker=MARKERS[index % len(MARKERS)], markersize=4.5,
                    linewidth=1.5, label=variant)  # fmt: skip
        if error in part:
            spread = part[error].to_numpy(float)
            target.vlines(x, y - spread, y + spread, color=color, linewidth=1.0, alpha=0.7)
    title = NAMES.get(name, name)
    target.xaxis.set_major_locator(MaxNLocator(integer=True))
    target.set_xlabel(size)
    note = "no finite value"
    sound = {variant: _sound(part, name) for variant, part in variants.items()}
    able = {variant: part for variant, part in sound.items() if len(part)}
    if able:
        pick = "idxmax" if largest else "idxmin"
        tops = {variant: part.loc[getattr(part[name], pick)()] for variant, part in able.items()}
        variant = (max if largest else min)(tops, key=lambda variant: float(tops[variant][name]))
        best = tops[variant]
        _mark(target, float(best[size]), float(best[name]))
        note = f"best: {int(best[size])} {size}" + (f", {variant}" if variant else "")
        note += _zoom(target, frame[name].to_numpy(float), largest)
    headline(target, f"{title} ({'higher' if largest else 'lower'} is better)", note)


def _sound(part: pd.DataFrame, name: str) -> pd.DataFrame:
    """The fits that may be the best: with a finite value, and not collapsed."""
    part = part[np.isfinite(part[name].to_numpy(float))]
    return part[~part["collapsed"].astype(bool)] if "collapsed" in part else part


def _zoom(target: Axes, values: np.ndarray, largest: bool) -> str:
    """Limit the axis to good values where far worse ones would flatten their differences."""
    worse = np.sort(values[np.isfinite(values)] * (-1.0 if largest else 1.0))
    good = worse[: max(2, int(np.ceil(0.7 * len(worse))))]
    if np.ptp(worse) <= 3.0 * np.ptp(good) or np.ptp(good) == 0.0:
        return ""
    ends = np.array([good[0] - 0.15 * np.ptp(good), good[-1] + 0.25 * np.ptp(good)])
    target.set_ylim(*sorted(-ends if largest else ends))
    return "; the worst are cut off"


def _mark(target: Axes, x: float, y: float) -> None:
    target.plot(x, y, "o", markersize=12, markerfacecolor="none", markeredgecolor=ink(),
                markeredgewidth=1.6, zorder=5)  # fmt: skip
