"""Rows of probability zero, whose latent variables and missing cells have no posterior."""

from __future__ import annotations

import numpy as np

from ppl_models.errors import InputError
from ppl_models.posterior.density.prediction import mean_log_density
from ppl_models.posterior.density.sequences import sequence_site
from ppl_models.posterior.result.restore import RestoredFit


def refuse_impossible(fitted: RestoredFit) -> None:
    """Refuse new rows of probability zero; the fitted ones have a positive probability.

    Args:
        fitted: a fit with the rows.

    Raises:
        InputError: a row that no draw of the fit could have made.
    """
    if fitted.fitted or not any((v == 0).any() for v in fitted.values.values()):
        return  # where no parameter is zero nothing is impossible
    written = sequence_site(fitted)
    if written is not None and written[1].needs_whole_rows:
        return
    impossible = np.isneginf(mean_log_density(fitted).values)
    if impossible.any():
        raise InputError(
            f"{fitted.unit} {int(impossible.argmax())} is impossible under the fit (its "
            "log_density is -inf), so that its hidden and missing values have no posterior: "
            "leave it out, or fit with priors that give everything a positive probability"
        )
