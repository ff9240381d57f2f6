"""The built-in programs as the parameter ``built_in``, programs of a user's own, and their fits."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest

HERE = Path(__file__).parent


def _module(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``built_in``: every program; ``climbed``: those that EM serves; ``mixture``: that assign."""
    rows = _module("model_programs", HERE.parent / "models" / "programs.py").PROGRAMS
    if "built_in" in metafunc.fixturenames:
        metafunc.parametrize("built_in", rows, ids=[row.label for row in rows])
    if "climbed" in metafunc.fixturenames:
        chosen = [row for row in rows if row.point == "em"]
        metafunc.parametrize("climbed", chosen, ids=[row.label for row in chosen])
    if "mixture" in metafunc.fixturenames:
        chosen = [row for row in rows if "clusters" in row.arguments]
        metafunc.parametrize("mixture", chosen, ids=[row.label for row in chosen])


@pytest.fixture(scope="session")
def built_ins() -> dict[str, Any]:
    """All built-in programs by their labels."""
    rows = _module("model_programs", HERE.parent / "models" / "programs.py").PROGRAMS
    return {row.label: row for row in rows}


@pytest.fixture(scope="session")
def own() -> ModuleType:
    """Programs of a user's own."""
    return _module("own_programs", HERE / "own_programs.py")


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
