"""A series in the colours of its hidden states, and below it how probable each state is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ppl_models.errors import InputError
from ppl_models.plots.panels import given_panels, new_panels, panel
from ppl_models.plots.reading import as_samples, feature_names, is_point, sequence_steps, series
from ppl_models.plots.style import MUTED, cluster_colors, headline, shorten, styled

CENTRES = ("loc", "rate", "probs")  #: sites that say where a state's steps lie, feature by feature
INTERVAL = 0.94


@styled
def plot_state_paths(
    tree: xr.DataTree,
    *,
    sequence: int = 0,
    feature: str | None = None,
    labels: Sequence[Any] | None = None,
    first: int = 0,
    max_steps: int = 500,
    draws: int = 100,
    probabilities: xr.DataArray | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """One sequence: its steps coloured by their most probable state, the states' means, and bands.

    A horizontal line is a state's posterior mean with its 94% interval. The bands below add up to
    one: where a single colour fills the height, the state is certain.

    Args:
        tree: a fit with hidden paths over a series of numbers.
        sequence: which sequence, counted from 0.
        feature: which feature (default: the one along which the states differ most).
        labels: numbers for the horizontal axis, one a step (years).
        first: the first step shown.
        max_steps: at most so many steps are shown.
        draws: at most so many draws a chain are averaged.
        probabilities: what `state_probabilities` gave, if that is at hand.
        plot_collection: a collection over the dim `panel` ("series" and "states").
        backend: only "matplotlib".

    Raises:
        InputError: no series in the tree, or no such sequence or feature.

    Example:
        >>> plot_state_paths(tree).savefig("states.png")  # doctest: +SKIP
    """
    from ppl_models.posterior.paths import state_probabilities

    data = series(tree)
    if data is None:
        raise InputError("The tree holds no series of numbers: plot_state_paths draws those.")
    if not 0 <= sequence < data.sizes["sequence"]:
        raise InputError(
            f"sequence is {sequence}: choose one from 0 to {data.sizes['sequence'] - 1}."
        )
    if probabilities is None:
        probabilities = state_probabilities(tree, draws=draws)
    centres = state_centres(tree)
    name = _chosen(data, centres, feature)
    steps = slice(first, min(first + max_steps, int(sequence_steps(data)[sequence])))
    one = data.isel(sequence=sequence, position=steps)
    values = one.assign_coords(feature=feature_names(data)).sel(feature=name).values
    shares = probabilities.isel({probabilities.dims[0]: sequence, "position": steps}).values
    if len(values) == 0:
        raise InputError(f"first is {first}, after the end of sequence {sequence}: lower it.")
    across = np.arange(steps.start, steps.stop) if labels is None else np.asarray(labels)[steps]
    states = shares.shape[1]
    if plot_collection is None:
        made = new_panels({"panel": ["series", "states"]}, rows=["panel"], size=(9.6, 5.0),
                          backend=backend, height_ratios=[2.6, 1.0], sharex=True)  # fmt: skip
    else:
        made = given_panels(plot_collection, range(states))
    colors = cluster_colors(states)
    _draw_series(panel(made, panel="series"), across, values, shares, colors)
    named = {} if centres is None or name not in centres["feature"].values else _draw_centres(
        panel(made, panel="series"), centres.sel(feature=name).values, colors, is_point(tree)
    )  # fmt: skip
    _draw_bands(panel(made, panel="states"), across, shares, colors)
    _label(made, data, sequence, name, steps, named, colors, counted=labels is None)
    return made


def state_centres(tree: xr.DataTree) -> xr.DataArray | None:
    """Where each state's steps lie, (sample, state, feature); None where no site says so."""
    posterior = tree["posterior"].to_dataset()
    for site in CENTRES:
        if site in posterior and {"state", "feature"} <= set(posterior[site].dims):
            found = as_samples(posterior[[site]])[site].transpose("sample", "state", "feature")
            return found.assign_coords(feature=feature_names(found))
    return None


def _chosen(data: xr.DataArray, centres: xr.DataArray | None, wanted: str | None) -> str:
    names = feature_names(data)
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"There is no feature {wanted!r}: choose from {', '.join(names)}.")
        return wanted
    if centres is None:
        return names[0]
    spread = data.std(["sequence", "position"]).values + 1e-300
    return names[int((centres.mean("sample").std("state").values / spread).argmax())]


def _draw_series(
    target: Axes, across: np.ndarray, values: np.ndarray, shares: np.ndarray, colors: list[str]
) -> None:
    target.plot(across, values, color=MUTED, linewidth=0.8, zorder=2)
    best = shares.argmax(1)
    size = 16 if len(values) <= 200 else 6
    for state, color in enumerate(colors):
        mine = best == state
        target.scatter(across[mine], values[mine], s=size, color=color, linewidths=0, zorder=3)


def _draw_centres(
    target: Axes, draws: np.ndarray, colors: list[str], point: bool
) -> dict[int, str]:
    """A line with its interval for every state; what the legend says of it."""
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    texts = {}
    for state, (mean, color) in enumerate(zip(draws.mean(0), colors, strict=True)):
        target.axhline(mean, color=color, linewidth=1.2, alpha=0.8, zorder=1)
        texts[state] = f"mean {mean:.3g}"
        if not point:
            target.axhspan(low[state], high[state], color=color, alpha=0.15, linewidth=0, zorder=0)
            texts[state] += f" ({low[state]:.3g} to {high[state]:.3g})"
    return texts


def _draw_bands(target: Axes, across: np.ndarray, shares: np.ndarray, colors: list[str]) -> None:
    """Probabilities stacked to one, every step as wide as the way to its neighbours."""
    gap = np.diff(across).astype(float) if len(across) > 1 else np.ones(1)
    edges = np.append(across - np.append(gap[:1], gap) / 2, across[-1] + gap[-1] / 2)
    top = np.zeros(len(shares))
    for share, color in zip(shares.T, colors, strict=True):
        low, top = top, top + share
        target.fill_between(edges, np.append(low, low[-1]), np.append(top, top[-1]), step="post",
                            color=color, linewidth=0)  # fmt: skip
    target.set(ylim=(0, 1), xlim=(edges[0], edges[-1]), ylabel="probability")


def _label(
    made: PlotCollection,
    data: xr.DataArray,
    sequence: int,
    name: str,
    steps: slice,
    named: dict[int, str],
    colors: list[str],
    *,
    counted: bool,
) -> None:
    upper, lower = panel(made, panel="series"), panel(made, panel="states")
    upper.set(ylabel=shorten(name))
    if counted:
        lower.set(xlabel="step")
    total, length = data.sizes["sequence"], int(sequence_steps(data)[sequence])
    parts = [f"sequence {sequence} of {total:,}"] if total > 1 else []
    if steps.stop - steps.start < length:
        parts.append(f"steps {steps.start:,} to {steps.stop - 1:,} of {length:,}")
    parts.append("a point's colour is its most probable state, a line that state's mean"
                 if named else "a point's colour is its most probable state")  # fmt: skip
    headline(upper, "A series and its hidden states", "; ".join(parts))
    handles = [Line2D([], [], color=color, marker="o", linewidth=1.2) for color in colors]
    texts = [f"state {k}" + (f": {named[k]}" if k in named else "") for k in range(len(colors))]
    upper.legend(handles, texts, loc="upper right", ncols=2 if len(colors) > 3 else 1)
