"""Checkpoints: a fit that was ended goes on to the bitwise same result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ppl_models import fit, open_blocks
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.checkpoint import Checkpoint

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.poisson(np.array([[2, 9], [8, 3], [5, 5]])[GENERATOR.integers(0, 3, 300)])
SETTINGS = {"method": "em", "seed": 0, "clusters": 3, "starts": 2, "predictive": 0}


class Ended(Exception):
    """Stands for a power cut."""


def end_after(
    monkeypatch: pytest.MonkeyPatch, writes: int, how: type[BaseException] = Ended
) -> None:
    """Let so many states be written, and end the fit at the next one, half of it on disk."""
    write, count = Checkpoint.write, []

    def counting(self: Checkpoint, run: Path, state: dict) -> None:
        count.append(run)
        if len(count) > writes:
            run.with_name(f".{run.name}.1.partial").write_bytes(b"half of a st")
            raise how
        write(self, run, state)

    monkeypatch.setattr(Checkpoint, "write", counting)


def same(one: xr.DataTree, other: xr.DataTree) -> None:
    for group in ("posterior", "starts", "path", "sample_stats"):
        for name, values in one[group].data_vars.items():
            np.testing.assert_array_equal(values, other[group][name], err_msg=f"{group} {name}")


@pytest.mark.parametrize("kind", ["memory", "blocks"])
def test_a_fit_that_was_ended_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data = ROWS if kind == "memory" else open_blocks(ROWS, rows=70)
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: True)
    unbroken = fit("poisson_mixture", data, **SETTINGS)
    for writes in (0, 1, 2) if kind == "memory" else (3,):
        folder = tmp_path / f"run{writes}"
        with monkeypatch.context() as patch, pytest.raises(Ended):
            end_after(patch, writes)
            fit("poisson_mixture", data, checkpoint=folder, **SETTINGS)
        same(fit("poisson_mixture", data, checkpoint=folder, **SETTINGS), unbroken)
    if kind == "memory":
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="goes on from"):
            end_after(patch, 1, KeyboardInterrupt)
            fit("poisson_mixture", data, checkpoint=tmp_path / "interrupted", **SETTINGS)
    # one that has ended is read, and makes no iteration
    with monkeypatch.context() as patch:
        end_after(patch, 0)
        same(fit("poisson_mixture", data, checkpoint=folder, **SETTINGS), unbroken)
    with pytest.raises(InputError, match="its seed differ"):
        fit("poisson_mixture", data, checkpoint=folder, **{**SETTINGS, "seed": 1})
    other = ROWS + 1 if kind == "memory" else open_blocks(ROWS + 1, rows=70)
    with pytest.raises(InputError, match="its data"):
        fit("poisson_mixture", other, checkpoint=folder, **SETTINGS)


def test_arguments_of_every_kind_tell_fits_apart(tmp_path: Path) -> None:
    given = {
        **SETTINGS,
        "concentration": np.array([1.0, 2.0, 3.0]),
        "fixed": {"rate": [[1, 2]] * 3},
    }
    fit("poisson_mixture", ROWS, checkpoint=tmp_path / "run", **given)
    with pytest.raises(InputError, match="its fixed differ"):
        other = given | {"fixed": {"rate": [[2, 1]] * 3}}
        fit("poisson_mixture", ROWS, checkpoint=tmp_path / "run", **other)


def test_folders_of_something_else_and_methods_without_states_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a letter")
    with pytest.raises(InputError, match="something else"):
        fit("poisson_mixture", ROWS, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(UnsupportedError, match="use em or hard"):
        fit("poisson_mixture", ROWS, method="nuts", seed=0, clusters=3, checkpoint=tmp_path)
