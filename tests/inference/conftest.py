"""Programs of a user's own, and fits of the built-in ones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest


@pytest.fixture(scope="session")
def own() -> ModuleType:
    """Programs of a user's own."""
    path = Path(__file__).with_name("own_programs.py")
    specification = importlib.util.spec_from_file_location("own_programs", path)
    sys.modules["own_programs"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(sys.modules["own_programs"])
    return sys.modules["own_programs"]


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Oracles are in double precision."""
    with jax.enable_x64(True):
        yield


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
