"""What every test may count on: no windows, compiled programs kept, references or a clear skip."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent

# before anything imports matplotlib or JAX
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
# a fit is many small compilations: keep these too
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import pytest  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def room() -> None:
    """One process compiles for hundreds of tests, most of which never call ``fit``."""
    from ppl_models.inference.compiling import make_room

    make_room()


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of published numbers beside the checkout; without it the test is skipped."""
    folder = ROOT.parent / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip("the published reference data are not beside this checkout")
    return folder
