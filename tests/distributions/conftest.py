"""Double precision for every test here, and the table of families as the parameter ``case``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import pytest


def _module(name: str) -> ModuleType:
    unique = f"distribution_{name}"
    if unique not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        specification = importlib.util.spec_from_file_location(unique, path)
        sys.modules[unique] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[unique])
    return sys.modules[unique]


#: Emissions of hidden chains whose code is that of another one, of one class of families.
LONG = ("spherical", "bernoulli")


#: Families whose code is that of another one: their densities are compared in the quick tests
#: (``test_families.py``), all else by ``make long``.
LONG_CASES = ("spherical", "shaped", "poisson univariate")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``case`` runs once a family, one with ``emission`` once a chain's."""
    if "emission" in metafunc.fixturenames:
        emissions = [
            pytest.param(e, id=e.name, marks=pytest.mark.long if e.name in LONG else ())
            for e in _module("hidden_cases").EMISSIONS
        ]
        metafunc.parametrize("emission", emissions)
    if "case" in metafunc.fixturenames:
        chosen = _module("cases").CASES
        quick = metafunc.definition.path.stem == "test_families"
        marked = [
            pytest.param(c, marks=() if quick or c.name not in LONG_CASES else pytest.mark.long)
            for c in chosen
        ]
        metafunc.parametrize("case", marked, ids=[case.name for case in chosen])


@pytest.fixture(scope="session")
def cases() -> list:
    """All rows of the table."""
    return _module("cases").CASES


@pytest.fixture(scope="session")
def table() -> ModuleType:
    """The module of the table, for its other oracles."""
    return _module("cases")


@pytest.fixture(scope="session")
def hidden() -> ModuleType:
    """The module of hidden chains' emissions, and their brute force."""
    return _module("hidden_cases")


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """Oracles are in double precision."""
    with jax.enable_x64(True):
        yield
