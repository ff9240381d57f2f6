"""What all comparisons of fitted candidates share: rows kept out, parameters counted, criteria."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import Array, random

from ..inference.program import Model, Structure


def hold_out(model: Model, rows: int, share: float, key: Array) -> tuple[Model, Any]:
    """The model on the kept rows, and the data of the others (at least one on each side).

    Args:
        model: a program with its data.
        rows: how many there are.
        share: of them that is kept out; 0 keeps all.
        key: random key.
    """
    if share <= 0:
        return model, None
    order = np.asarray(random.permutation(key, rows))
    cut = min(max(round(share * rows), 1), rows - 1)
    out, kept = np.sort(order[:cut]), np.sort(order[cut:])
    return (
        model.with_data({n: np.asarray(v)[kept] for n, v in model.data.items()}),
        {n: np.asarray(v)[out] for n, v in model.data.items()},
    )


def parameter_count(structure: Structure) -> int:
    """Free parameters of a program: a row of probabilities has one less than it has cells."""
    return sum(site.freedom for site in structure.sites)


def criteria(
    log_likelihood: float, parameters: int, count: int, entropy: float
) -> dict[str, float]:
    """A candidate's criteria.

    Args:
        log_likelihood: at its maximum.
        parameters: free ones.
        count: of what was observed.
        entropy: -Σ log of the most probable assignment's probability.

    >>> criteria(-10.0, 2, 1, 0.5)["icl"]
    21.0
    """
    bic = -2 * log_likelihood + parameters * float(np.log(count))
    return {
        "log_likelihood": log_likelihood,
        "parameters": parameters,
        "bic": bic,
        "aic": -2 * log_likelihood + 2 * parameters,
        "icl": bic + 2 * entropy,
    }
