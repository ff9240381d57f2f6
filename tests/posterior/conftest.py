"""Fits of the built-in programs on named data, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

NAMES = ["width", "height", "depth"]


@pytest.fixture(scope="session")
def named() -> Callable:
    """Data with names: of the columns, and of the rows (letters)."""

    def of(row: Any, data: Any = None) -> Any:
        data = row.to_fit if data is None else data
        if isinstance(data, list) or row.site == "tokens" or np.ndim(data) == 3:
            return data
        labels = [chr(ord("a") + i) for i in range(len(data))]
        if data.ndim == 1:
            return pd.Series(data, labels, name=NAMES[0])
        return pd.DataFrame(data, labels, NAMES[: data.shape[1]])

    return of


#: how points are looked for here
POINTS = {"em": {"starts": 4, "tolerance": 1e-13}, "map": {"starts": 4, "steps": 40}}


@pytest.fixture(scope="session")
def trees(named: Callable) -> Callable:
    """``trees(row, method, **options)``: a fit to named data, made once."""
    made: dict[Any, Any] = {}

    def of(row: Any, method: str | None = None, **options: Any) -> Any:
        from ppl_models import fit

        method = method or row.point
        key = (row.label, method, *sorted(options.items()))
        if key not in made:
            chosen = POINTS.get(method, {})
            made[key] = fit(
                row.name,
                named(row),
                method=method,
                seed=0,
                **{"predictive": 6, **row.options, **chosen, **options},
            )
        return made[key]

    return of


@pytest.fixture(scope="session")
def drawn(built_ins: dict[str, Any], trees: Callable) -> Any:
    """Draws by NUTS of the univariate Gaussian mixture, two chains."""
    row = built_ins["gaussian_mixture univariate"]
    return trees(row, "nuts", chains=2, warmup=150, draws=150, starts=4)


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Oracles are in double precision."""
    with jax.enable_x64(True):
        yield
