"""Transition graph: arrows between tokens, one panel per cluster."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.components import transition_axes
from ppl_models.plots.drawing.panels import across, new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import axis_names, emission_of, known_labels, mean_weights
from ppl_models.plots.drawing.style import (
    MUTED,
    POSTERIOR,
    cluster_colors,
    headline,
    ink,
    points,
    readable,
    shorten,
)
from ppl_models.plots.transitions import labelled_parameters
from ppl_models.posterior.result.names import component
from ppl_models.posterior.result.schema import EmissionFacts

LOOP = 0.2  #: radius of the ring that stands for a step from a token to itself
MOST_TOKENS = 16  #: that can be told apart around a circle


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Chains of tokens: one for each cluster, or a single one of few tokens."""
    if transition_axes(emission)[-2:] != ("token", "next_token"):
        return False
    few = len(known_labels(tree, emission).get("token", ())) in range(1, MOST_TOKENS + 1)
    return emission.component_dim == "cluster" or few


@register_plot(
    section="components",
    order=140,
    caption="Steps from token to token, by cluster where there are clusters. An arrow is as wide "
    "as its step is frequent, a disc as large as its token, a ring is a step from a token to "
    "itself; a black rim marks tokens with which sequences begin.",
    serves=_serves,
    each_emission=True,
)
def plot_transition_graph(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    min_frequency: float = 0.015,
    max_tokens: int = MOST_TOKENS,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Tokens on a circle, with arrows for the steps that are taken often enough.

    An arrow's width is the step's frequency among all steps that a sequence takes on average (so
    that what follows a token that is never seen does not show), a ring beside a token a step from
    it to itself, a disc's area the token's frequency; a black rim says how often sequences begin
    there. All by the posterior mean of the transitions.

    Args:
        tree: a fit of a Markov chain of tokens of order 1, by cluster or not.
        site: which observed site (default: the main one).
        min_frequency: the smallest frequency among all steps that gets an arrow.
        max_tokens: of more tokens than this, the most visited are shown.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this collection, over the dim `cluster` if there are clusters.
        backend: only "matplotlib".

    Raises:
        InputError: when the emission declares no transitions from token to token.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("markov_chain", ["ab", "abb"], method="em", seed=0, predictive=0)
        >>> plot_transition_graph(tree).viz["plot"].size
        1
    """
    emission = emission_of(tree, site)
    parameters = labelled_parameters(tree, emission)
    initial, transition = chains_of(emission, parameters)
    names = axis_names(parameters["transition"], "next_token")
    visits = np.stack([expected_visits(i, t) for i, t in zip(initial, transition, strict=True)])
    clustered = "cluster" in parameters["transition"].dims
    count = len(initial)
    shown = _most_visited(visits, max_tokens)
    if plot_collection is None:
        coords = {"cluster": list(range(count))} if clustered else {}
        wide = across(count)
        tall = -(-count // wide)
        made = new_panels(coords, columns=list(coords), wrap=wide if clustered else None,
                          size=(4.4 * wide, 4.25 * tall), backend=backend)  # fmt: skip
    else:
        made = with_cluster_colors(plot_collection, range(count) if clustered else None)
    colors = cluster_colors(count) if clustered else [POSTERIOR]
    weights = mean_weights(tree) if clustered else None
    for k in range(count):
        target = panel(made, cluster=k) if clustered else panel(made)
        draw_graph(target, initial[k], transition[k], visits[k], names, shown, colors[k],
                   min_frequency)  # fmt: skip
        title = component(tree, "cluster", k) if clustered else "Steps from token to token"
        weight = "" if weights is None else f"{weights[k]:.0%} of the sequences; "
        headline(target, title, f"{weight}{visits[k].sum():.1f} tokens on average")
    return made


def chains_of(emission: EmissionFacts, parameters: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means of `initial (cluster, token)` and `transition (cluster, token, next)`.

    Raises:
        InputError: when the emission declares no transitions from token to token.
    """
    if transition_axes(emission)[-2:] != ("token", "next_token"):
        raise InputError(
            f"The emission of {emission.site!r}, {emission.family.partition(':')[2]}, declares no "
            "transitions from token to token: plot_transition_graph draws Markov chains of tokens "
            "of order 1."
        )
    mean = parameters[["initial", "transition"]].mean(["chain", "draw"])
    if "cluster" not in mean["transition"].dims:
        mean = mean.expand_dims("cluster")
    clusters = mean.sizes["cluster"]
    initial, transition = mean["initial"], mean["transition"]
    if "cluster" not in initial.dims:  # one beginning for all clusters
        initial = initial.expand_dims(cluster=clusters)
    return (
        initial.transpose("cluster", "token").values,
        transition.transpose("cluster", "token", "next_token").values,
    )


def expected_visits(initial: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Expected number of visits to each token before a sequence ends, ``(token,)``.

    >>> expected_visits(np.array([1.0]), np.array([[0.5, 0.5]]))
    array([2.])
    """
    among = transition[:, :-1]
    return np.linalg.solve(np.eye(len(among)) - among.T, initial)


def _most_visited(visits: np.ndarray, count: int) -> np.ndarray:
    frequency = (visits / visits.sum(1, keepdims=True)).max(0)
    return np.sort(np.argsort(-frequency, kind="stable")[:count])


def draw_graph(
    target: Axes,
    initial: np.ndarray,
    transition: np.ndarray,
    visits: np.ndarray,
    names: list[str],
    shown: np.ndarray,
    color: str,
    min_frequency: float,
) -> None:
    """One chain's graph: discs, arrows, and a square for <end>."""
    end = len(names) - 1
    nodes = [*shown.tolist(), end]
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    place = {node: np.array([np.cos(a), np.sin(a)])
             for node, a in zip(nodes, angle, strict=True)}  # fmt: skip
    frequency = visits / visits.sum()
    loops = set()
    for before in shown.tolist():
        for after in nodes:
            flow = frequency[before] * transition[before, after]
            if flow < min_frequency:
                continue
            if before == after:
                loops.add(before)
                _loop(target, place[before], flow, color)
            else:
                _arrow(target, place[before], place[after], flow, color)
    for node in nodes:
        x, y = place[node]
        if node == end:
            target.scatter(x, y, s=150, marker="s", color=MUTED, zorder=4)
        else:
            size = 40 + 1400 * frequency[node]
            target.scatter(x, y, s=size, color=color, edgecolors="white", zorder=4)
            if initial[node] > 0.05:  # a rim says where sequences begin
                target.scatter(x, y, s=size + 120, facecolors="none", edgecolors=ink(), zorder=5,
                               linewidths=0.5 + 3.5 * initial[node])  # fmt: skip
        x, y = (1.25 + 2 * LOOP * (node in loops)) * place[node]
        ha = "center" if abs(x) < 0.35 else ("left" if x > 0 else "right")
        target.text(x, y, shorten(readable(names[node]), 12), ha=ha, va="center", zorder=6,
                    fontsize=points(9))  # fmt: skip
    target.set(xlim=(-2.1, 2.1), ylim=(-1.75, 1.75), xticks=[], yticks=[])
    for spine in target.spines.values():
        spine.set_visible(False)


def _width(flow: float) -> float:
    return 0.6 + min(16 * flow, 7.0)


def _arrow(target: Axes, start: np.ndarray, stop: np.ndarray, flow: float, color: str) -> None:
    """A bent arrow, so that the arrow back does not cover it."""
    head = 4 + min(10 * flow, 4.0)
    style = f"-|>,head_length={head:.1f},head_width={0.6 * head:.1f}"
    arrow = FancyArrowPatch(
        tuple(start), tuple(stop), arrowstyle=style, color=color, linewidth=_width(flow),
        alpha=0.6, connectionstyle="arc3,rad=0.18", shrinkA=10, shrinkB=13, zorder=2,
        mutation_scale=1.0,
    )  # fmt: skip
    target.add_patch(arrow)


def _loop(target: Axes, place: np.ndarray, flow: float, color: str) -> None:
    """A ring outside the circle, behind the token."""
    ring = Circle(tuple((1 + LOOP) * place), LOOP, fill=False, edgecolor=color, alpha=0.6,
                  linewidth=_width(flow), zorder=2)  # fmt: skip
    target.add_patch(ring)
