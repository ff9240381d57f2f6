"""A fit whose process is killed goes on to the same bits; many more in ``make verify``."""

from __future__ import annotations

import random
from pathlib import Path

from experiments.verification import kills


def test_a_killed_fit_goes_on_to_the_same_result(tmp_path: Path) -> None:
    moments = random.Random(0)
    assert kills.kill(kills.start("gibbs", tmp_path, tmp_path / "out.npz"), tmp_path, moments)
    assert not (tmp_path / "out.npz").exists()
    files = {place.name for place in tmp_path.rglob("*.npz")}
    assert "run_00001.npz" in files
    assert kills.same(kills.posterior("gibbs", tmp_path), kills.posterior("gibbs"))
