"""Which pictures a tree can show: ours by the kind of fit, ArviZ's by the groups it holds."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.plots.arviz_views import forest, khat, ppc, rank, shown_parameters, trace
from ppl_models.plots.clusters import plot_clusters
from ppl_models.plots.images import plot_prototypes, square_shape
from ppl_models.plots.path import plot_path
from ppl_models.plots.predictive import plot_predictive
from ppl_models.plots.profiles import plot_profiles
from ppl_models.plots.reading import family, is_point, observed, series
from ppl_models.plots.responsibilities import plot_responsibilities
from ppl_models.plots.sequence_index import plot_sequence_index
from ppl_models.plots.similarity import plot_similarity
from ppl_models.plots.state_paths import plot_state_paths
from ppl_models.plots.transition_graph import plot_transition_graph
from ppl_models.plots.transitions import plot_transitions

Picture = Callable[[xr.DataTree], PlotCollection]


def choose_plots(tree: xr.DataTree) -> list[tuple[str, Picture]]:
    """The pictures that this tree can show, most telling first.

    A point (EM, k-means) never gets traces, ranks, forests or Pareto k: it has no draws.

    Args:
        tree: any fit.

    Returns:
        Pairs of a name and a function of the tree.

    Example:
        >>> for name, picture in choose_plots(tree):  # doctest: +SKIP
        ...     picture(tree).savefig(f"{name}.png")
    """
    chosen = _cluster_pictures(tree)
    if "responsibilities" in tree.children:
        chosen.append(("responsibilities", plot_responsibilities))
    if "similarity" in tree.children:
        chosen.append(("similarity", plot_similarity))
    if observed(tree) is not None and "posterior_predictive" in tree.children:
        chosen.append(("predictive", plot_predictive))
    if "starts" in tree.children and "objective" in tree["starts"]:
        chosen.append(("path", plot_path))
    if not is_point(tree) and "posterior" in tree.children:
        chosen += _draw_pictures(tree)
    return chosen


def _cluster_pictures(tree: xr.DataTree) -> list[tuple[str, Picture]]:
    kind = family(tree)
    if kind in ("gaussian", "univariate", "centres"):
        return [("clusters", plot_clusters)]
    if kind == "hidden":
        shown: list[tuple[str, Picture]] = [("transitions", plot_transitions)]
        asked = series(tree) is not None and "program" in tree.attrs
        return [("states", plot_state_paths), *shown] if asked else shown
    if kind == "chain":
        return [("transitions", plot_transitions)]
    if kind == "chains":
        return [("transition graph", plot_transition_graph), ("transitions", plot_transitions),
                ("sequence index", plot_sequence_index)]  # fmt: skip
    if kind == "bernoulli" and _looks_like_images(tree):
        return [("prototypes", plot_prototypes), ("profiles", plot_profiles)]
    if kind in ("bernoulli", "categorical", "poisson"):
        return [("profiles", plot_profiles)]
    return []


def _looks_like_images(tree: xr.DataTree) -> bool:
    pixels = tree["posterior"]["probs"].sizes["feature"]
    return pixels >= 49 and square_shape(pixels) is not None


def _draw_pictures(tree: xr.DataTree) -> list[tuple[str, Picture]]:
    chosen: list[tuple[str, Picture]] = []
    if shown_parameters(tree, 30).data_vars:
        chosen.append(("trace", trace))
        if tree["posterior"].sizes.get("chain", 1) > 1:  # ranks compare chains
            chosen.append(("rank", rank))
        chosen.append(("forest", forest))
    data = observed(tree)
    continuous = family(tree) in ("gaussian", "univariate")
    if continuous and data is not None and "posterior_predictive" in tree.children:
        chosen.append(("ppc", ppc))
    if "log_likelihood" in tree.children and many_draws(tree) and _several_units(tree):
        chosen.append(("khat", khat))
    return chosen


def _several_units(tree: xr.DataTree) -> bool:
    """Whether there is anything left when one row, or one whole sequence, is left out."""
    return tree["log_likelihood"].sizes.get(tree.attrs.get("plate", "row"), 2) > 1


def many_draws(tree: xr.DataTree) -> bool:
    """Whether there are enough draws to smooth the tail of importance weights by."""
    sizes = tree["log_likelihood"].sizes
    return sizes.get("chain", 1) * sizes.get("draw", 1) >= 25
