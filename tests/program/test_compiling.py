"""Many compiled programs do not end the process."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from ppl_models.program.runtime import compiling


def test_compiled_programs_are_forgotten_when_maps_run_short(tmp_path, monkeypatch):
    def held():
        return compiling.MAPS.read_bytes().count(b"\n")

    if not compiling.MAPS.exists():
        assert not compiling.make_room()
        pytest.skip("the system has no memory maps to count")
    selected = [jax.jit(lambda x, i=i: jnp.sort(x) + i) for i in range(30)]
    results = [f(jnp.ones(3)) for f in selected]
    before = held()
    assert not compiling.make_room()
    monkeypatch.setattr(compiling, "MOST_MAPS", tmp_path / "most")
    compiling.MOST_MAPS.write_text(f"{before}\n")
    assert compiling.make_room()
    assert held() < before - 60
    assert float(selected[3](jnp.ones(3))[0]) == float(results[3][0]) == 4.0
