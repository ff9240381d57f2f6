"""The fake fits of the pictures' tests, and a stand-in for the diagnosis."""

from __future__ import annotations

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def fits() -> ModuleType:
    """The module that makes fake fits."""
    path = Path(__file__).parents[1] / "plots" / "fake_fits.py"
    specification = importlib.util.spec_from_file_location("fake_fits", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def diagnosed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a diagnosis of our making in the place of the real one."""

    def put(trustworthy: bool = True, verdict: str = "This fit can be trusted.") -> None:
        findings = [SimpleNamespace(severity="warning", what="few <draws>", advice="draw more")]
        table = pd.DataFrame({"r_hat": [1.0, 1.2], "ess_bulk": [900.4, 20.0]}, ["fine", "worse"])
        actual = SimpleNamespace(
            trustworthy=trustworthy, verdict=verdict, findings=findings, table=table
        )
        module = ModuleType("ppl_models.diagnostics.diagnose")
        module.diagnose = lambda tree: actual
        monkeypatch.setitem(sys.modules, module.__name__, module)

    put()
    return put


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    """Whatever a page does, it leaves no figure open."""
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    assert plt.get_fignums() == []
