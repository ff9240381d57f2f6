"""Rows on the workers of a Dask cluster: the answer is that of the same blocks here."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from ppl_models import fit, open_blocks
from ppl_models.cli import main
from ppl_models.data.blocks.spread import spread
from ppl_models.errors import InputError, UnsupportedError

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of Dask, which are its own affair

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.poisson(np.array([[2, 9], [8, 3]])[GENERATOR.integers(0, 2, 500)]).astype(float)
ROWS[3, 1] = np.nan
SETTINGS: dict[str, Any] = {"method": "em", "seed": 0, "clusters": 2, "predictive": 0, "starts": 2}


def same(one: xr.DataTree, other: xr.DataTree) -> None:
    for name, value in one["posterior"].data_vars.items():
        np.testing.assert_allclose(other["posterior"][name], value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one["starts"]["objective"], other["starts"]["objective"], rtol=1e-9)


@pytest.fixture(scope="module")
def here() -> xr.DataTree:
    return fit("poisson_mixture", open_blocks(ROWS, rows=150), **SETTINGS)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2,
            processes=False,
            threads_per_worker=1,
            dashboard_address=None,
            protocol="tcp",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_rows_on_workers_give_the_answer_of_the_same_blocks(client: Any, here: xr.DataTree) -> None:
    array = da.from_array(ROWS, chunks=(150, 1))
    tree = fit("poisson_mixture", array, client=client, **SETTINGS)
    same(tree, here)
    same(fit("poisson_mixture", array, **SETTINGS), here)  # and so does the array without workers
    with pytest.raises(UnsupportedError, match="needs all rows in memory"):
        fit("poisson_mixture", array, client=client, method="nuts", seed=0, clusters=2)
    with pytest.raises(InputError, match="cannot be spread"):
        fit("poisson_mixture", ROWS, client=client, **SETTINGS)


def write(folder: Path) -> tuple[Path, Path]:
    """The rows as a binary file, and as a text file with a line of names."""
    np.save(folder / "rows.npy", ROWS)
    lines = ["a,b", *(",".join("" if np.isnan(v) else str(v) for v in row) for row in ROWS)]
    (folder / "rows.csv").write_text("\n".join(lines))
    return folder / "rows.npy", folder / "rows.csv"


def test_files_are_read_by_the_workers(client: Any, tmp_path: Path) -> None:
    for path in write(tmp_path):
        pieces = [np.asarray(piece) for piece in spread(path, client)]
        np.testing.assert_array_equal(np.concatenate(pieces), ROWS)
    with pytest.raises(InputError, match="no file"):
        spread(tmp_path / "nowhere.npy", client)
    (tmp_path / "rows.nc").write_text("")
    with pytest.raises(InputError, match="cannot be spread"):
        spread(tmp_path / "rows.nc", client)


@pytest.mark.long
def test_the_command_line_names_a_scheduler(client: Any, here: xr.DataTree, tmp_path: Path) -> None:
    words = ["fit", "poisson_mixture", str(write(tmp_path)[1]), "--method", "em"]
    words += ["--clusters", "2", "--set", "starts=2", "--quiet", "--out", str(tmp_path / "fit.nc")]
    assert main([*words, "--scheduler", client.scheduler.address]) == 0
    with xr.open_datatree(tmp_path / "fit.nc") as tree:
        np.testing.assert_allclose(
            tree["posterior"]["rate"], here["posterior"]["rate"], rtol=1e-9, atol=1e-9
        )
    assert main([*words, "--overwrite", "--scheduler", "tcp://127.0.0.1:1"]) == 2


@pytest.mark.long
def test_a_worker_that_is_killed_changes_nothing(here: xr.DataTree) -> None:
    with (
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        array = da.from_array(ROWS, chunks=(150, 1))
        same(fit("poisson_mixture", array, client=client, **SETTINGS), here)
        settings = SETTINGS | {"iterations": 150, "tolerance": 0.0}
        # of the same pieces on the same workers: of other pieces sums have other roundings, by
        # which a start whose objective gains a last digit stops at another iteration
        unbroken = fit("poisson_mixture", array, client=client, **settings)
        killed = []

        def kill() -> None:
            time.sleep(1.0)
            process = next(iter(client.run(os.getpid).values()))
            os.kill(process, signal.SIGKILL)
            killed.append(process)

        thread = threading.Thread(target=kill)
        thread.start()
        tree = fit("poisson_mixture", array, client=client, **settings)
        thread.join()
        assert killed
        for name, value in unbroken["posterior"].data_vars.items():  # bit by bit
            np.testing.assert_array_equal(tree["posterior"][name], value, err_msg=str(name))
        np.testing.assert_array_equal(tree["starts"]["objective"], unbroken["starts"]["objective"])
