"""A series in the colours of its hidden states, and the probabilities of the states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.components import (
    component_class,
    component_moments,
    component_picture,
    profile_values,
)
from ppl_models.plots.drawing.panels import new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import (
    emission_of,
    feature_names,
    is_point,
    is_restorable,
    sequence_steps,
    series,
)
from ppl_models.plots.drawing.style import MUTED, cluster_colors, headline, shorten
from ppl_models.posterior.paths import state_probabilities
from ppl_models.posterior.result.names import component
from ppl_models.posterior.result.schema import EmissionFacts

INTERVAL = 0.94


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Series along one hidden chain, of a program that can be restored."""
    hidden = emission.component_dim == "state" and emission.kind == "Series"
    return hidden and is_restorable(tree) and series(tree, emission.site) is not None


@register_plot(
    section="components",
    order=145,
    name="states",
    caption="A series in the colours of its most probable hidden states, with the mean of each "
    "state; below, the probability of each state at every step.",
    serves=_serves,
    each_emission=True,
    computed=("probabilities",),
)
def plot_state_paths(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    sequence: int = 0,
    feature: str | None = None,
    labels: Sequence[Any] | None = None,
    first: int = 0,
    max_steps: int = 500,
    draws: int = 100,
    probabilities: xr.DataArray | None = None,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """One sequence: its steps coloured by their most probable state, the states' means, and bands.

    A horizontal line is a state's posterior mean with its 94% interval. The bands below add up to
    one: where a single colour fills the height, the state is certain.

    Args:
        tree: a fit with hidden paths over a series of numbers.
        site: which observed site (default: the main one).
        sequence: which sequence, counted from 0.
        feature: which feature (default: the one along which the states differ most).
        labels: numbers for the horizontal axis, one a step (years).
        first: the first step shown.
        max_steps: maximum number of steps to show.
        draws: maximum number of draws per chain to average over.
        probabilities: what `state_probabilities` gave, if that has been computed.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: a collection over the dim `panel` ("series" and "states").
        backend: only "matplotlib".

    Raises:
        InputError: no series in the tree, or no such sequence or feature.

    Example:
        >>> from ppl_models import fit
        >>> options = {"method": "em", "seed": 0, "states": 2, "starts": 1, "predictive": 0}
        >>> tree = fit("hidden_markov", [[0.1, -0.2, 9.0, 9.3], [9.2, 9.1]], **options)
        >>> plot_state_paths(tree, sequence=1).viz["plot"].sizes["panel"]
        2
    """
    data = series(tree, site)
    if data is None:
        raise InputError(
            "The data of this tree are no series of numbers, which plot_state_paths draws."
        )
    if not 0 <= sequence < data.sizes["sequence"]:
        raise InputError(
            f"sequence is {sequence}: choose one from 0 to {data.sizes['sequence'] - 1}."
        )
    if probabilities is None:
        probabilities = state_probabilities(tree, draws=draws)
    names = feature_names(tree, emission_of(tree, site), data.sizes["feature"])
    means = state_means(tree, site)
    column = _column(data, names, means, feature)
    steps = slice(first, min(first + max_steps, int(sequence_steps(data)[sequence])))
    values = data.isel(sequence=sequence, position=steps, feature=column).values
    by_step = probabilities.isel({probabilities.dims[0]: sequence, "position": steps}).values
    if len(values) == 0:
        raise InputError(f"first is {first}, after the end of sequence {sequence}: lower it.")
    across = np.arange(steps.start, steps.stop) if labels is None else np.asarray(labels)[steps]
    states = by_step.shape[1]
    if plot_collection is None:
        made = new_panels({"panel": ["series", "states"]}, rows=["panel"], size=(9.6, 5.0),
                          backend=backend, height_ratios=[2.6, 1.0], sharex=True)  # fmt: skip
    else:
        made = with_cluster_colors(plot_collection, range(states))
    colors = cluster_colors(states)
    _draw_series(panel(made, panel="series"), across, values, by_step, colors)
    named = {} if means is None else _draw_means(
        panel(made, panel="series"), means[:, :, column], colors, is_point(tree),
        _mean_label(tree, site),
    )  # fmt: skip
    _draw_bands(panel(made, panel="states"), across, by_step, colors)
    called = [component(tree, "state", k) for k in range(states)]
    texts = [text + (f": {named[k]}" if k in named else "") for k, text in enumerate(called)]
    _label(made, data, sequence, names[column], steps, texts, colors, counted=labels is None)
    return made


def state_means(tree: xr.DataTree, site: str | None = None) -> np.ndarray | None:
    """Mean of each state's steps (sample, state, feature); None where its family has none."""
    picture = component_picture(emission_of(tree, site))
    if picture == "ellipses":
        return component_moments(tree, site)[0]
    if picture == "profile":  # the mean of a bit, or of a count
        return profile_values(tree, site).values
    return None


def _column(
    data: xr.DataArray, names: list[str], means: np.ndarray | None, wanted: str | None
) -> int:
    """Position of the wanted feature, else of the one along which the states differ most."""
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"There is no feature {wanted!r}: choose from {', '.join(names)}.")
        return names.index(wanted)
    if means is None:
        return 0
    spread = data.std(["sequence", "position"]).values + 1e-300
    return int((means.mean(0).std(0) / spread).argmax())


def _draw_series(
    target: Axes, across: np.ndarray, values: np.ndarray, by_step: np.ndarray, colors: list[str]
) -> None:
    target.plot(across, values, color=MUTED, linewidth=0.8, zorder=2)
    best = by_step.argmax(1)
    size = 16 if len(values) <= 200 else 6
    for state, color in enumerate(colors):
        steps = best == state
        target.scatter(across[steps], values[steps], s=size, color=color, linewidths=0, zorder=3)


def _mean_label(tree: xr.DataTree, site: str | None) -> str:
    """Label of a state's line: the mean, or the parameter that its family declares."""
    return getattr(component_class(emission_of(tree, site)), "profile_label", None) or "mean"


def _draw_means(
    target: Axes, draws: np.ndarray, colors: list[str], point: bool, label: str
) -> dict[int, str]:
    """Draw a line with its interval for every state; its legend entries."""
    tail = (1 - INTERVAL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    texts = {}
    for state, (mean, color) in enumerate(zip(draws.mean(0), colors, strict=True)):
        target.axhline(mean, color=color, linewidth=1.2, alpha=0.8, zorder=1)
        texts[state] = f"{label} {mean:.3g}"
        if not point:
            target.axhspan(low[state], high[state], color=color, alpha=0.15, linewidth=0, zorder=0)
            texts[state] += f" ({low[state]:.3g} to {high[state]:.3g})"
    return texts


def _draw_bands(target: Axes, across: np.ndarray, by_step: np.ndarray, colors: list[str]) -> None:
    """Probabilities stacked to one, every step as wide as the gap to its neighbours."""
    gap = np.diff(across).astype(float) if len(across) > 1 else np.ones(1)
    edges = np.append(across - np.append(gap[:1], gap) / 2, across[-1] + gap[-1] / 2)
    top = np.zeros(len(by_step))
    for values, color in zip(by_step.T, colors, strict=True):
        low, top = top, top + values
        target.fill_between(edges, np.append(low, low[-1]), np.append(top, top[-1]), step="post",
                            color=color, linewidth=0)  # fmt: skip
    target.set(ylim=(0, 1), xlim=(edges[0], edges[-1]), ylabel="probability")


def _label(
    made: PlotCollection,
    data: xr.DataArray,
    sequence: int,
    name: str,
    steps: slice,
    texts: list[str],
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
    lines = ", a line that state's mean" if any(":" in text for text in texts) else ""
    parts.append(f"a point's colour is its most probable state{lines}")
    headline(upper, "A series and its hidden states", "; ".join(parts))
    handles = [Line2D([], [], color=color, marker="o", linewidth=1.2) for color in colors]
    upper.legend(handles, texts, loc="upper right", ncols=2 if len(colors) > 3 else 1)
