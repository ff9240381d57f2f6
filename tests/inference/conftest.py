"""Fits of the built-in programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def fitted() -> Callable:
    """Fits of the built-in programs, each made once: ``fitted(row, method, **options)``."""
    made: dict[Any, Any] = {}

    def of(row: Any, method: str, **options: Any) -> Any:
        from ppl_models import fit

        key = (row.label, method, *sorted(options.items()))
        if key not in made:
            made[key] = fit(
                row.name, row.to_fit, method=method, seed=0, predictive=0, **row.options, **options
            )
        return made[key]

    return of
