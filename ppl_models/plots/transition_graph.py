"""Which token follows which, as arrows between the tokens, a panel a cluster."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from ppl_models.errors import InputError
from ppl_models.plots.panels import given_panels, new_panels, panel
from ppl_models.plots.reading import feature_names, group, mean_weights
from ppl_models.plots.style import (
    INK,
    MUTED,
    POSTERIOR,
    cluster_colors,
    headline,
    readable,
    shorten,
    styled,
)

RADIUS = 1.0
SELDOM = 0.01  #: tokens with a smaller share of all visits have no arrows: their rows are the prior


@styled
def plot_transition_graph(
    tree: xr.DataTree,
    *,
    least: float = 0.1,
    max_tokens: int = 16,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Tokens on a circle, with an arrow to each token that follows often enough.

    An arrow's width is the posterior mean probability of the step, a disc's area how often a
    sequence visits the token on average (until it ends), the outer mark how often it begins there.

    Args:
        tree: a fit with `initial (token)` and `transition (token, next_token)`, by cluster or not.
        least: the smallest probability that gets an arrow.
        max_tokens: of more tokens than this, the most visited are shown.
        plot_collection: draw into this collection, over the dim `cluster` if there are clusters.
        backend: only "matplotlib".

    Raises:
        InputError: when the posterior has no transitions from token to token.

    Example:
        >>> plot_transition_graph(tree).savefig("graph.png")  # doctest: +SKIP
    """
    posterior = group(tree, "posterior", "plot_transition_graph")
    initial, transition = chains_of(posterior, tree, "plot_transition_graph")
    names = feature_names(posterior["transition"], "next_token")
    visits = np.stack([expected_visits(i, t) for i, t in zip(initial, transition, strict=True)])
    clustered = "cluster" in posterior["transition"].dims
    count = len(initial)
    shown = _most_visited(visits, max_tokens)
    if plot_collection is None:
        coords = {"cluster": list(range(count))} if clustered else {}
        wide = min(count, 3)
        tall = -(-count // wide)
        made = new_panels(coords, columns=list(coords), wrap=3 if clustered else None,
                          size=(4.4 * wide, 4.6 * tall), backend=backend)  # fmt: skip
    else:
        made = given_panels(plot_collection, range(count) if clustered else None)
    colors = cluster_colors(count) if clustered else [POSTERIOR]
    weights = mean_weights(tree) if clustered else None
    for k in range(count):
        target = panel(made, cluster=k) if clustered else panel(made)
        draw_graph(target, initial[k], transition[k], visits[k], names, shown, colors[k], least)
        title = f"cluster {k}" if clustered else "Which token follows which"
        share = "" if weights is None else f"{weights[k]:.0%} of the sequences; "
        headline(target, title, f"{share}{visits[k].sum():.1f} tokens on average")
    return made


def chains_of(
    posterior: xr.Dataset, tree: xr.DataTree, purpose: str
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means of `initial (cluster, token)` and `transition (cluster, token, next)`.

    Raises:
        InputError: when the posterior has no transitions from token to token.
    """
    found = posterior.get("transition")
    if found is None or not {"token", "next_token"} <= set(found.dims) or "initial" not in posterior:
        raise InputError(
            f"The program {tree.attrs.get('program', '?')!r} has no `initial (token)` and "
            f"`transition (token, next_token)`: {purpose} draws chains of order 1."
        )
    mean = posterior[["initial", "transition"]].mean(["chain", "draw"])
    if "cluster" not in mean.dims:
        mean = mean.expand_dims("cluster")
    mean = mean.transpose("cluster", "token", "next_token")
    return mean["initial"].values, mean["transition"].values


def expected_visits(initial: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """How often a sequence comes by each token before it ends, on average, ``(token,)``.

    >>> expected_visits(np.array([1.0]), np.array([[0.5, 0.5]]))
    array([2.])
    """
    among = transition[:, :-1]
    return np.linalg.solve(np.eye(len(among)) - among.T, initial)


def _most_visited(visits: np.ndarray, count: int) -> np.ndarray:
    share = (visits / visits.sum(1, keepdims=True)).max(0)
    return np.sort(np.argsort(-share, kind="stable")[:count])


def draw_graph(
    target: Axes,
    initial: np.ndarray,
    transition: np.ndarray,
    visits: np.ndarray,
    names: list[str],
    shown: np.ndarray,
    color: str,
    least: float,
) -> None:
    """One chain's graph: discs, arrows, and a square for <end>."""
    end = len(names) - 1
    nodes = [*shown.tolist(), end]
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    place = {node: RADIUS * np.array([np.cos(a), np.sin(a)])
             for node, a in zip(nodes, angle, strict=True)}  # fmt: skip
    share = visits / visits.sum()
    for before in shown:
        if share[before] < SELDOM:
            continue
        for after in nodes:
            probability = transition[before, after]
            if probability >= least:
                _arrow(target, place[before], place[after], probability, color)
    for node in nodes:
        x, y = place[node]
        if node == end:
            target.scatter(x, y, s=150, marker="s", color=MUTED, zorder=4)
        else:
            size = 60 + 1600 * share[node]
            target.scatter(x, y, s=size, color=color, edgecolors="white", zorder=4)
            if initial[node] > 0.05:  # a ring says where sequences begin
                target.scatter(x, y, s=size + 160, facecolors="none", edgecolors=INK, zorder=5,
                               linewidths=0.5 + 4 * initial[node])  # fmt: skip
        outwards = 1.25 * place[node]
        ha = "center" if abs(outwards[0]) < 0.35 else ("left" if outwards[0] > 0 else "right")
        target.text(outwards[0] * 0.98, outwards[1], shorten(readable(names[node]), 12), ha=ha,
                    va="center", fontsize=9, zorder=6)  # fmt: skip
    target.set(xlim=(-1.9, 1.9), ylim=(-1.6, 1.6), aspect="equal", xticks=[], yticks=[])
    for spine in target.spines.values():
        spine.set_visible(False)


def _arrow(
    target: Axes, start: np.ndarray, stop: np.ndarray, probability: float, color: str
) -> None:
    """An arrow from one place to another; a loop outside the circle from a place to itself."""
    width, strength = 0.6 + 5 * probability, 0.25 + 0.7 * probability
    style = f"-|>,head_length={3 + 4 * probability:.1f},head_width={1.5 + 2.5 * probability:.1f}"
    if (start == stop).all():
        side = np.array([-start[1], start[0]]) * 0.1
        start, stop, bend = start * 1.04 + side, start * 1.04 - side, -2.2
    else:
        bend = 0.18
    arrow = FancyArrowPatch(
        tuple(start), tuple(stop), arrowstyle=style, color=color, linewidth=width,
        alpha=strength, connectionstyle=f"arc3,rad={bend}", shrinkA=9, shrinkB=11, zorder=2,
    )  # fmt: skip
    target.add_patch(arrow)
