"""Sources of blocks: every kind of file gives its rows, in their order, as often as it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from jax import random

from ppl_models import catalogue, open_blocks
from ppl_models.data.blocks.ahead import ahead
from ppl_models.data.blocks.source import Blocks
from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError
from ppl_models.program.block_rows import RowBlocks, read_blocks
from ppl_models.program.reading import read_data

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
        pytest.importorskip("h5netcdf")
        xr.Dataset({"x": (("row", "feature"), ROWS)}).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.filterwarnings("ignore:The 'future.infer_string'")  # that anndata sets
@pytest.mark.parametrize(
    "suffix", [".parquet", ".feather", ".csv", ".npy", ".h5ad", ".zarr", ".nc", ".h5"]
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


class Once:
    """Blocks that a second pass finds gone."""

    def __init__(self, *, same: bool) -> None:
        self.left, self.same = iter([ROWS[:9], ROWS[9:]]), same

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.left if self.same else (block for block in self.left)


def test_what_can_be_gone_through_once_is_refused() -> None:
    for source in (iter([ROWS]), (block for block in [ROWS]), Once(same=True)):
        with pytest.raises(InputError, match=r"once only.*update\(tree, blocks\)"):
            open_blocks(source)
    with pytest.raises(InputError, match="different blocks in its second pass"):
        read("gaussian_mixture", open_blocks(Once(same=False)))
    with pytest.raises(InputError, match=r"not data: .* of blocks of rows, open_blocks"):
        read_data(catalogue.program("gaussian_mixture"), (block for block in [ROWS]))


def read(program: str, blocks: Blocks) -> tuple[RowBlocks, Observed]:
    return read_blocks(catalogue.program(program), blocks, "x", "float64", random.key(0))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ""])
def test_levels_are_those_of_all_blocks(tmp_path: Path, suffix: str) -> None:
    """A level may come late, and cells may be missing in some blocks only."""
    table = pd.DataFrame({"a": [*"vu" * 10, *"wt" * 3], "b": [2, 10] * 10 + [7, 2] * 3})
    table.loc[[3, 24], "a"] = None
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    source = open_blocks(path, rows=8) if suffix else open_blocks([table[:8], table[8:]])
    blocks, sample = read("categorical_mixture", source)
    memory = read_data(catalogue.program("categorical_mixture"), table)["x"]
    assert sample.coords["level"].tolist() == memory.coords["level"].tolist()
    assert sample.arguments["levels"] == memory.arguments["levels"]
    np.testing.assert_array_equal(sample.values, memory.values)
    assert blocks.summary.missing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n3\n4,5\n", "line 3 of .* has 1 cells where the first line has 2 names"),
        ("a,b\n1,2\n3,4,5\n", "cannot be parsed as a table.*line 3"),
        ("a;b\n1;2\n", r"read_file\(path, separator=';'\)"),
        ("a,b\nu,01\nv,1\nu,1\n", "codes with leading zeros \\('01'\\)"),
    ],
)
def test_text_that_is_cut_wrongly_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read("categorical_mixture", open_blocks(tmp_path / "rows.csv", rows=1))


def test_files_that_are_not_there_or_unknown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        open_blocks(tmp_path / "nowhere.parquet")
    (tmp_path / "rows.what").write_text("")
    with pytest.raises(InputError, match="ends with none"):
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
