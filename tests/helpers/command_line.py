"""The command line as tests speak to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppl_models.cli import main


def spoken(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 0) -> str:
    """Run a command that must end with a status; what it wrote to standard output."""
    assert main([str(word) for word in words]) == status
    return capsys.readouterr().out
