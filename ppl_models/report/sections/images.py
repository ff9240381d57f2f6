"""Images that a fit generates, and observed ones that it completes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.drawing.pixels import is_square_image, square_shape
from ppl_models.plots.drawing.reading import is_restorable, observed
from ppl_models.plots.images import plot_images
from ppl_models.plots.predictive import comparison
from ppl_models.posterior.result.restore import restored
from ppl_models.posterior.result.schema import EmissionFacts
from ppl_models.posterior.simulate.impute import can_impute, impute
from ppl_models.report.page import Block

ACROSS = 10  #: images side by side
SEED = 0  #: of the completed halves, so that a page is the same each time


def are_images(emission: EmissionFacts, drawn: xr.DataArray) -> bool:
    """Whether rows are the bits of square images, small enough to show."""
    pixels = drawn.sizes.get("feature", 0)
    return is_square_image(pixels) and comparison(emission, {"posterior": drawn}) == "bits"


def image_sheet(
    tree: xr.DataTree, emission: EmissionFacts, drawn: xr.DataArray, heading: str
) -> Block:
    """Generated images below observed ones, and the observed ones with their lower half drawn.

    Args:
        tree: a fit whose rows are images.
        emission: the observed site.
        drawn: replicated rows (sample, row, feature).
        heading: of the block.
    """
    generated = drawn.isel(sample=0).transpose("row", "feature").values[: 2 * ACROSS]
    caption = "The first rows of one generated data set, as images."
    data = observed(tree, emission.site)
    seen = np.empty((0, generated.shape[1])) if data is None else _complete_rows(data)
    if len(generated) < ACROSS or len(seen) < ACROSS:
        sheet = plot_images(generated, columns=ACROSS)
        return Block(heading, figures=(sheet,), captions=(caption,), level=3)
    lines, names = [seen], ["observed"]
    filled = completed(tree, emission, seen)
    if filled is not None:
        lines, names = [seen, filled], ["observed", "completed"]
        caption = (
            "The first observed images; the same with their lower half (outlined) drawn given "
            f"the upper one; and {caption[0].lower()}{caption[1:]}"
        )
    generated = generated[: len(generated) // ACROSS * ACROSS]
    names += ["generated"] + [""] * (len(generated) // ACROSS - 1)
    missing = [np.zeros(values.shape, bool) for values in (*lines, generated)]
    if filled is not None:
        missing[1][:] = _lower_half(filled.shape[1])
    sheet = plot_images(np.concatenate([*lines, generated]), missing=np.concatenate(missing),
                        columns=ACROSS, titles=names)  # fmt: skip
    return Block(heading, figures=(sheet,), captions=(caption,), level=3)


def _complete_rows(data: xr.DataArray) -> np.ndarray:
    """The first rows without missing cells (row, feature)."""
    values = data.transpose("row", "feature").values.astype(float)
    return values[np.isfinite(values).all(1)][:ACROSS]


def _lower_half(pixels: int) -> np.ndarray:
    """True for the pixels of the lower half (pixel)."""
    shape = square_shape(pixels)
    assert shape is not None
    return np.arange(pixels) >= shape[0] // 2 * shape[1]


def completed(tree: xr.DataTree, emission: EmissionFacts, rows: np.ndarray) -> np.ndarray | None:
    """Rows (row, feature) with the lower half imputed from the upper; None if not possible.

    It cannot without the program, where there are several kinds of data, or where the program
    cannot impute.
    """
    if not is_restorable(tree) or len(tree["observed_data"].data_vars) > 1:
        return None
    lower = _lower_half(rows.shape[1])
    with restored(tree) as fitted:
        if not can_impute(fitted, emission.site, lower):
            return None
    data = tree["observed_data"].to_dataset()[emission.site]
    feature = emission.dims[-1]
    names = data[feature].values if feature in data.coords else None
    halves = np.where(lower, np.nan, rows)
    filled = impute(tree, pd.DataFrame(halves, columns=names), draws=1, seed=SEED)
    return filled[emission.site].isel(draw=0).values.astype(float)
