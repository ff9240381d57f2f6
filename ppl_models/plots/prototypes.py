"""Clusters of images of bits: each cluster's probability of ink, as an image."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.components import (
    component_picture,
    is_probability,
    profile_values,
)
from ppl_models.plots.drawing.panels import new_panels, panel
from ppl_models.plots.drawing.pixels import image_shape, is_square_image
from ppl_models.plots.drawing.reading import emission_of, mean_weights, observed
from ppl_models.plots.drawing.style import cluster_colors, points, shorten
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import EmissionFacts


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Clusters of bits that fill a square."""
    if emission.component_dim != "cluster" or component_picture(emission) != "profile":
        return False
    data = observed(tree, emission.site)
    square = data is not None and is_square_image(data.sizes.get("feature", 0))
    return square and is_probability(emission)


@register_plot(
    section="components",
    order=120,
    caption="The probability of ink of each cluster, pixel by pixel, with the cluster's weight.",
    serves=_serves,
    each_emission=True,
)
def plot_prototypes(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The probability of every pixel, one image a cluster, titled with the cluster's weight.

    Args:
        tree: a fit of a mixture of bits that are the pixels of an image, row by row.
        site: which observed site (default: the main one).
        shape: height and width; without it the image is a square.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: a collection over the dim `cluster`.
        backend: only "matplotlib".

    Raises:
        InputError: for emissions without a probability by feature, or a shape that does not fit.

    Example:
        >>> from ppl_models import fit
        >>> images = [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 0, 0]]
        >>> tree = fit("bernoulli_mixture", images, method="em", seed=0, clusters=2, starts=2,
        ...            predictive=0)
        >>> plot_prototypes(tree, shape=(2, 2)).viz["plot"].sizes["cluster"]
        2
    """
    probs = profile_values(tree, site)
    if "level" in probs.dims or not is_probability(emission_of(tree, site)):
        raise InputError(
            "plot_prototypes draws one probability of ink for each pixel, which this emission "
            "does not have: use plot_profiles."
        )
    probs = probs.mean("sample")
    height, width = image_shape(shape, probs.sizes["feature"])
    clusters = probs.sizes["component"]
    weights = mean_weights(tree)
    wrap = min(clusters, 5 if clusters <= 10 else 8)
    lines = -(-clusters // wrap)
    made = plot_collection or new_panels(
        {"cluster": range(clusters)},
        size=(max(3.0, 1.45 * wrap), 1.7 * lines * height / width + 0.3),
        columns=["cluster"], wrap=wrap, backend=backend,
    )  # fmt: skip
    images = xr.Dataset(
        {"images": (("cluster", "y", "x"), probs.values.reshape(clusters, height, width))},
        {"cluster": np.arange(clusters)},
    )
    made.map(_draw_prototype, "images", data=images, ignore_aes="all")
    names = component_names(tree, clusters)
    for k, color in enumerate(cluster_colors(clusters)):
        weight = "" if weights is None else f": {weights[k]:.0%}"
        panel(made, cluster=k).set_title(
            f"{shorten(names[k], 14)}{weight}", color=color, loc="center", fontsize=points(10)
        )
    return made


def _draw_prototype(da: xr.DataArray, target: Axes) -> AxesImage:
    target.set(xticks=[], yticks=[])
    for spine in target.spines.values():
        spine.set(visible=True, color="#BBBBBB")
    return target.imshow(da.values, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
