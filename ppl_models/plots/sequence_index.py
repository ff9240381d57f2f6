"""Sequence index plot: one line per sequence, one colour per token, one panel per cluster."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.patches import Patch

from ppl_models.data.missing import known_tokens
from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.panels import (
    across,
    figure_of,
    new_panels,
    panel,
    with_cluster_colors,
)
from ppl_models.plots.drawing.place import add_key
from ppl_models.plots.drawing.reading import (
    emission_of,
    observed,
    responsibilities,
    thinned_rows,
    token_names,
)
from ppl_models.plots.drawing.style import PALE, cluster_colors, headline, readable, shorten
from ppl_models.posterior.result.names import component
from ppl_models.posterior.result.schema import EmissionFacts

COLORS = 20  #: tokens that get a colour of their own
UNKNOWN = "#F2F2F2"


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Sequences of tokens that are assigned to clusters."""
    data = tree["observed_data"].data_vars if "observed_data" in tree.children else {}
    clustered = "responsibilities" in tree.children
    return emission.kind == "Tokens" and clustered and emission.site in data


@register_plot(
    section="assignments",
    order=230,
    caption="The sequences themselves, one a line, a colour a token, in the panel of their most "
    "probable cluster and sorted by their first tokens.",
    serves=_serves,
    each_emission=True,
)
def plot_sequence_index(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    max_sequences: int = 150,
    max_positions: int | None = None,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Sequence index plot: the sequences of each cluster, sorted by their tokens (Scherer 2001).

    Each line is a sequence, each cell a token, white what comes after its end. Sequences stand in
    the panel of the cluster that they most probably are of, sorted by their first tokens.

    Args:
        tree: a fit of sequences of tokens, by cluster or not.
        site: which observed site (default: the main one).
        max_sequences: of more sequences in a panel than this, some are shown, evenly chosen.
        max_positions: the first so many tokens are shown (default: as many as 98% of the
            sequences have, at most 100).
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this collection, over the dim `cluster` if there are clusters.
        backend: only "matplotlib".

    Raises:
        InputError: when the data are no sequences of tokens.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("chain_mixture", ["ab", "ab", "bba", "bba"], method="em", seed=0,
        ...            clusters=2, starts=2, predictive=0)
        >>> plot_sequence_index(tree).viz["plot"].sizes["cluster"]
        2
    """
    data = observed(tree, site)
    if data is None or emission_of(tree, site).kind != "Tokens":
        raise InputError(
            f"The data of {emission_of(tree, site).site!r} are no sequences of tokens: "
            "plot_sequence_index draws those."
        )
    codes, names = data.transpose("sequence", "position").values, token_names(tree, site)
    if max_positions is None:
        lengths = (codes < len(names)).sum(1)
        max_positions = int(np.clip(np.ceil(np.quantile(lengths, 0.98)), 2, 100))
    codes = codes[:, :max_positions]
    clustered = "responsibilities" in tree.children
    probability = responsibilities(tree).values if clustered else np.ones((len(codes), 1))
    best, count = probability.argmax(1), probability.shape[1]
    made = _panels(plot_collection, count if clustered else None, backend)
    color_of, entries = _token_colors(codes, names)
    inside = known_tokens(codes, len(names))
    longest = max(1, int(inside.sum(1).max()))
    for k in range(count):
        target = panel(made, cluster=k) if clustered else panel(made)
        members = codes[best == k][:, :longest]
        draw_index(target, members, len(names), color_of, max_sequences)
        note = f"{len(members):,} sequences, {len(members) / len(codes):.0%}"
        if clustered and len(members):
            note += f"; mean certainty {probability[best == k, k].mean():.0%}"
        headline(target, component(tree, "cluster", k) if clustered else "The sequences", note)
        if clustered:
            target.spines["left"].set(color=cluster_colors(count)[k], linewidth=4, visible=True)
    handles = [Patch(facecolor=color, label=label) for label, color in entries]
    texts = [label for label, _ in entries]
    add_key(figure_of(made), handles, texts, loc="outside lower center", ncols=min(len(handles), 8))
    return made


def _panels(
    collection: PlotCollection | None, clusters: int | None, backend: str
) -> PlotCollection:
    """A panel for each cluster, or one where there are none."""
    if collection is not None:
        return with_cluster_colors(collection, None if clusters is None else range(clusters))
    if clusters is None:
        return new_panels(size=(4.6, 4.3), backend=backend)
    wide = across(clusters)
    size = (0.6 + 4.0 * wide, 0.9 + 3.4 * -(-clusters // wide))
    return new_panels({"cluster": list(range(clusters))}, columns=["cluster"], wrap=wide,
                      size=size, backend=backend)  # fmt: skip


def draw_index(
    target: Axes, codes: np.ndarray, tokens: int, color_of: np.ndarray, at_most: int
) -> None:
    """One panel: sequences sorted by their first tokens, at most so many of them."""
    order = np.lexsort(codes.T[::-1]) if len(codes) else np.arange(0)
    shown = codes[order][thinned_rows(len(codes), at_most)]
    if len(shown):
        colors = _palette(int(color_of.max()) + 1)
        palette = ListedColormap([*colors, UNKNOWN, "white"])
        # after the tokens' colours one for tokens that are not known, and white after the end
        looked_up = np.append(color_of, [len(colors), len(colors) + 1])
        cells = np.where(shown < 0, tokens, np.minimum(shown, tokens + 1))
        cells = np.where(shown == tokens, tokens + 1, cells)
        target.imshow(looked_up[cells], cmap=palette, vmin=-0.5, vmax=palette.N - 0.5,
                      aspect="auto", interpolation="nearest")  # fmt: skip
    target.set(xlabel="position", yticks=[])
    places = np.arange(0, codes.shape[1], max(1, codes.shape[1] // 6))
    target.set_xticks(places, [str(place + 1) for place in places])


def _palette(count: int) -> list[str]:
    """Colours of tokens, unlike those of clusters; the last of many is grey."""
    pairs = colormaps["tab20"].colors  # type: ignore[attr-defined]
    colors = [to_hex(color) for color in (*pairs[::2], *pairs[1::2])]
    return colors[:count] if count <= COLORS else [*colors[:COLORS], PALE]


def _token_colors(codes: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Which colour each token has ``(token,)``, and the legend's entries."""
    inside = codes[known_tokens(codes, len(names))].astype(int)
    counts = np.bincount(inside, minlength=len(names))
    ranked = np.argsort(-counts, kind="stable")
    color_of = np.full(len(names), min(len(names), COLORS), int)
    own = np.sort(ranked[:COLORS])
    color_of[own] = np.arange(len(own))
    palette = _palette(len(names) if len(names) <= COLORS else COLORS + 1)
    entries = [(shorten(readable(names[t]), 14), palette[color_of[t]]) for t in own]
    if len(names) > COLORS:
        entries.append(("all others", palette[-1]))
    return color_of, entries
