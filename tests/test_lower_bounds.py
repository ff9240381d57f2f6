"""What `make lowest` installs are the lower bounds that pyproject.toml states."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_lower_bound_is_installed_and_nothing_older_or_newer() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    stated = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", d).groups() for d in project["dependencies"])
    lines = (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    assert len(stated) > 10
    for name, version in stated.items():
        assert f"{pinned[name]}.".startswith(f"{version}."), name
        assert set(pinned[name].removeprefix(version)) <= {".", "0"}, name
