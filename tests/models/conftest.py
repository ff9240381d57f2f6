"""Double precision, and all rows of the table of built-in programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import pytest


@pytest.fixture(scope="session")
def programs(built_ins: dict[str, Any]) -> list:
    """All rows of the table."""
    return list(built_ins.values())


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """Oracles are in double precision."""
    with jax.enable_x64(True):
        yield
