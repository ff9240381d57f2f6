"""Sources of blocks: every kind of file gives its rows, in their order, as often as it is asked."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ppl_models import open_blocks
from ppl_models.data.blocks.ahead import ahead
from ppl_models.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(23, 3)).round(3)
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c"])


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"rows{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
        FRAME.to_parquet(path, row_group_size=7)
    elif suffix == ".feather":
        pytest.importorskip("pyarrow")
        FRAME.to_feather(path)
    elif suffix == ".csv":
        FRAME.to_csv(path, index=False)
    elif suffix == ".npy":
        np.save(path, ROWS)
    elif suffix == ".h5ad":
        anndata = pytest.importorskip("anndata")
        sparse = pytest.importorskip("scipy.sparse")
        anndata.AnnData(sparse.csr_matrix(ROWS), var=pd.DataFrame(index=list("abc"))).write(path)
    elif suffix == ".zarr":
        pytest.importorskip("zarr")
        xr.Dataset({"x": (("row", "feature"), ROWS)}).to_zarr(path, consolidated=False)
    else:
        xr.Dataset({"x": (("row", "feature"), ROWS)}).to_netcdf(path)
    return path


@pytest.mark.filterwarnings("ignore:The 'future.infer_string'")  # that anndata sets
@pytest.mark.parametrize(
    "suffix", [".parquet", ".feather", ".csv", ".npy", ".h5ad", ".zarr", ".nc"]
)
def test_every_kind_of_file_gives_its_rows_in_order(tmp_path: Path, suffix: str) -> None:
    blocks = open_blocks(write(tmp_path, suffix), rows=5)
    for _ in range(2):
        pieces = [np.asarray(piece) for piece in blocks]
        assert max(map(len, pieces)) <= 5
        np.testing.assert_array_equal(np.concatenate(pieces), ROWS)


def test_arrays_in_the_order_of_columns_are_read_in_blocks(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.asfortranarray(ROWS))
    pieces = list(open_blocks(tmp_path / "rows.npy", rows=5))
    np.testing.assert_array_equal(np.concatenate(pieces), ROWS)


def test_columns_are_chosen_in_the_order_given(tmp_path: Path) -> None:
    for suffix in (".parquet", ".csv"):
        pieces = list(open_blocks(write(tmp_path, suffix), columns=["c", "a"]))
        np.testing.assert_array_equal(np.concatenate(pieces), ROWS[:, [2, 0]])


def test_what_can_be_gone_through_once_is_refused() -> None:
    with pytest.raises(InputError, match="once only"):
        open_blocks(iter([ROWS]))


def test_files_that_are_not_there_or_unknown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        open_blocks(tmp_path / "nowhere.parquet")
    (tmp_path / "rows.what").write_text("")
    with pytest.raises(InputError, match="ends in none"):
        open_blocks(tmp_path / "rows.what")
    xr.Dataset({"x": ("row", ROWS[:, 0]), "y": ("row", ROWS[:, 1])}).to_netcdf(tmp_path / "two.nc")
    with pytest.raises(InputError, match="variables x, y"):
        list(open_blocks(tmp_path / "two.nc"))
    pieces = list(open_blocks(tmp_path / "two.nc", variable="y"))
    np.testing.assert_array_equal(np.concatenate(pieces), ROWS[:, 1])


def test_a_sample_has_each_row_equally_often() -> None:
    blocks = open_blocks(np.arange(10), rows=3)
    counts = sum(np.bincount(blocks.sample(4, seed=s), minlength=10) for s in range(400))
    assert counts.sum() == 1600
    assert abs(counts - 160).max() < 5 * np.sqrt(160 * 0.6)
    np.testing.assert_array_equal(blocks.sample(20, seed=0), np.arange(10))


def test_reading_ahead_tells_errors_and_stops_when_left() -> None:
    read = []

    def make(last: int):
        for i in range(last):
            read.append(i)
            yield i
        raise OSError("the disk is gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="disk is gone"):
        list(ahead(lambda: make(3)))
    assert read == [0, 1, 2]
    read.clear()
    for i in ahead(lambda: make(1000)):
        if i == 2:
            break
    assert threading.active_count() == before
    assert len(read) < 10
