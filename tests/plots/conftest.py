"""Fake fits for every test of plots."""

from __future__ import annotations

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def fits() -> ModuleType:
    """The module that makes fake fits."""
    path = Path(__file__).with_name("fake_fits.py")
    specification = importlib.util.spec_from_file_location("fake_fits", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
