"""Rows that a fit holds impossible: nothing can be said of what is hidden or missing in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ppl_models.errors import InputError
from ppl_models.posterior.density.prediction import log_density
from ppl_models.posterior.density.sequences import sequence_writer
from ppl_models.posterior.result.restore import RestoredFit


def refuse_impossible(tree: xr.DataTree, data: Any, found: RestoredFit) -> None:
    """Refuse new rows without any probability; those that were fitted have some.

    Args:
        tree: a fit.
        data: new rows; None: the fitted ones.
        found: the fit, recalled.

    Raises:
        InputError: a row that no draw of the fit could have made.
    """
    if data is None or not any((np.asarray(v) == 0).any() for v in found.values.values()):
        return  # where no parameter is zero nothing is impossible
    written = sequence_writer(found)
    if written is not None and written[1].needs_whole_rows:
        return
    impossible = np.isneginf(log_density(tree, data).values)
    if impossible.any():
        raise InputError(
            f"{found.unit} {int(impossible.argmax())} is impossible under the fit (its "
            "log_density is -inf), so that nothing can be said of what is hidden or missing in "
            "it: leave it out, or fit with priors that hold everything possible"
        )
