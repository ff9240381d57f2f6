"""The table of built-in programs as the parameter ``program``, in double precision."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import pytest


def _table() -> ModuleType:
    if "model_programs" not in sys.modules:
        path = Path(__file__).with_name("programs.py")
        specification = importlib.util.spec_from_file_location("model_programs", path)
        sys.modules["model_programs"] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules["model_programs"])
    return sys.modules["model_programs"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``program``: every row of the table; ``model``: one row a program."""
    rows = _table().PROGRAMS
    if "program" in metafunc.fixturenames:
        metafunc.parametrize("program", rows, ids=[row.label for row in rows])
    if "model" in metafunc.fixturenames:
        first = {row.name: row for row in reversed(rows)}
        metafunc.parametrize("model", list(first.values()), ids=list(first))


@pytest.fixture(scope="session")
def programs() -> list:
    """All rows of the table."""
    return _table().PROGRAMS


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """Oracles are in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Samplers run a few steps here: compiling them well would cost, not save, time."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
