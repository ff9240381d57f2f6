"""Pictures of bits that a fit draws, and observed ones that it completes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.errors import InputError
from ppl_models.plots.images import plot_images, square_shape
from ppl_models.plots.predictive import data_kind
from ppl_models.plots.drawing.reading import family, observed
from ppl_models.report.page import Block

SMALLEST = 49  #: pixels of what is looked at as a picture
ACROSS = 10  #: pictures side by side
SEED = 0  #: of the completed halves, so that a page is the same each time


def are_pictures(tree: xr.DataTree, drawn: xr.DataArray) -> bool:
    """Whether rows are bits that fill a square, and enough of them to be looked at."""
    pixels = drawn.sizes.get("feature", 0)
    if pixels < SMALLEST or square_shape(pixels) is None:
        return False
    return data_kind(family(tree), drawn) == "bits"


def picture_sheet(tree: xr.DataTree, drawn: xr.DataArray) -> Block:
    """Generated pictures below observed ones, and the observed ones with their lower half drawn.

    Args:
        tree: a fit whose rows are pictures.
        drawn: replicated rows (sample, row, feature).
    """
    generated = drawn.isel(sample=0).transpose("row", "feature").values[: 2 * ACROSS]
    caption = "The first rows of one generated data set, as images."
    data = observed(tree)
    seen = np.empty((0, generated.shape[1])) if data is None else _whole_rows(data)
    if len(generated) < ACROSS or len(seen) < ACROSS:
        sheet = plot_images(generated, columns=ACROSS)
        return Block("Generated examples", figures=(sheet,), captions=(caption,), level=3)
    lines, names = [seen], ["observed"]
    filled = completed(tree, seen)
    if filled is not None:
        lines, names = [seen, filled], ["observed", "completed"]
        caption = (
            "The first observed pictures; the same with their lower half (outlined) drawn given "
            f"the upper one; and {caption[0].lower()}{caption[1:]}"
        )
    generated = generated[: len(generated) // ACROSS * ACROSS]
    names += ["generated"] + [""] * (len(generated) // ACROSS - 1)
    missing = [np.zeros(values.shape, bool) for values in (*lines, generated)]
    if filled is not None:
        missing[1][:] = _lower_half(filled.shape[1])
    sheet = plot_images(np.concatenate([*lines, generated]), missing=np.concatenate(missing),
                        columns=ACROSS, titles=names)  # fmt: skip
    return Block("Generated examples", figures=(sheet,), captions=(caption,), level=3)


def _whole_rows(data: xr.DataArray) -> np.ndarray:
    """The first rows without gaps (row, feature)."""
    values = data.transpose("row", "feature").values.astype(float)
    return values[np.isfinite(values).all(1)][:ACROSS]


def _lower_half(pixels: int) -> np.ndarray:
    """True for the pixels of the lower half (pixel)."""
    shape = square_shape(pixels)
    assert shape is not None
    return np.arange(pixels) >= shape[0] // 2 * shape[1]


def completed(tree: xr.DataTree, seen: np.ndarray) -> np.ndarray | None:
    """The rows (row, feature) with their lower half drawn given the upper; None if that cannot be.

    It cannot without the program, nor where the program fills no gaps.
    """
    from ppl_models.posterior.simulate.generate import impute

    if not {"program", "arguments", "fixed", "coordinate_labels"} <= set(tree.attrs):
        return None
    data, site = observed(tree), str(tree.attrs["data_site"])
    assert data is not None
    halves = np.where(_lower_half(seen.shape[1]), np.nan, seen)
    names = data["feature"].values if "feature" in data.coords else None
    try:
        filled = impute(tree, pd.DataFrame(halves, columns=names), draws=1, seed=SEED)
    except InputError:
        return None
    return filled[site].isel(draw=0).values.astype(float)
