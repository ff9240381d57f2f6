"""Gibbs sampling over rows in blocks: the draws of the same rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr

from ppl_models import fit, loo, memory, open_blocks, predict, predict_to, sensitivity
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.mcmc.gibbs_blocks import DrawnBlocks
from ppl_models.program.runtime.checkpoint import Checkpoint

pytest.importorskip("zarr")

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.poisson(np.array([2.0, 15.0])[GENERATOR.integers(0, 2, 1_100)]).astype(float)
ROWS[7] = np.nan


def two_rates(x=None, *, rows=10):
    """Weights have a conditional in closed form, rates move by Hamiltonian steps."""
    weights = numpyro.sample("weights", dist.Dirichlet(np.full(2, 2.0)))
    with numpyro.plate("cluster", 2):
        rate = numpyro.sample("rate", dist.LogNormal(1.5, 1.0))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Poisson(rate[z]), obs=x)


OPTIONS: dict[str, Any] = {
    "method": "gibbs",
    "seed": 1,
    "predictive": 0,
    "chains": 2,
    "warmup": 20,
    "draws": 15,
    "starts": 0,
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of few rows, and blocks of few chunks."""
    monkeypatch.setattr(memory, "CHUNK_ROWS", (90, 90))
    monkeypatch.setattr(memory, "PREPARED_BLOCK_BYTES", 12_000)


@pytest.fixture(scope="module")
def in_memory() -> xr.DataTree:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "CHUNK_ROWS", (90, 90))
        return fit(two_rates, ROWS, **OPTIONS)


@pytest.mark.usefixtures("small")
def test_draws_over_blocks_are_those_in_memory(
    in_memory: xr.DataTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shapes: list[int] = []
    blocks = DrawnBlocks._blocks

    def counted(passes: DrawnBlocks) -> Any:
        actual = list(blocks(passes))
        shapes.append(len(actual))
        return iter(actual)

    monkeypatch.setattr(DrawnBlocks, "_blocks", counted)
    for room in (0, memory.HELD_BLOCKS_BYTES):  # read in every sweep, and once
        monkeypatch.setattr(memory, "HELD_BLOCKS_BYTES", room)
        tree = fit(two_rates, open_blocks(ROWS, rows=130), **OPTIONS)
        for name, value in in_memory["posterior"].items():
            np.testing.assert_allclose(tree["posterior"][name], value, rtol=1e-9)
        lp = in_memory["sample_stats"]["lp"]
        np.testing.assert_allclose(tree["sample_stats"]["lp"], lp, rtol=1e-9)
    assert set(shapes) == {shapes[0]}
    assert shapes[0] > 2
    with pytest.raises(UnsupportedError, match="fit a sample in memory"):
        loo(tree)
    with pytest.raises(UnsupportedError, match="fit a sample in memory"):
        sensitivity(tree)
    assert predict_to(tree, [ROWS[:9]], tmp_path / "rows.zarr", draws=5) == 9
    with xr.open_zarr(tmp_path / "rows.zarr", consolidated=False) as written:
        table = predict(tree, ROWS[:9], draws=5).values
        np.testing.assert_allclose(written["responsibilities"], table, rtol=1e-9)


@pytest.mark.usefixtures("small")
def test_a_run_that_was_ended_goes_on(
    in_memory: xr.DataTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: True)
    write, written = Checkpoint.write, []

    def ends(self: Checkpoint, run: Path, state: dict) -> None:
        write(self, run, state)
        written.append(run)
        if len(written) == 2:
            raise OSError("a power cut")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="power cut"):
        patch.setattr(Checkpoint, "write", ends)
        fit(two_rates, open_blocks(ROWS, rows=130), checkpoint=tmp_path / "run", **OPTIONS)
    again = fit(two_rates, open_blocks(ROWS, rows=130), checkpoint=tmp_path / "run", **OPTIONS)
    for name, value in in_memory["posterior"].items():
        np.testing.assert_allclose(again["posterior"][name], value, rtol=1e-9)


def test_assignments_of_all_rows_are_not_kept() -> None:
    with pytest.raises(InputError, match="predict_to"):
        fit(two_rates, open_blocks(ROWS, rows=130), keep_assignments=True, **OPTIONS)
