"""Sources of blocks: files in pieces, memory maps, lazy arrays, and whatever can be gone through.

A source is gone through many times, once in every pass of a method, and holds no rows itself.
"""

from __future__ import annotations

import csv
import importlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppl_models import memory
from ppl_models.data.missing import MISSING_TEXTS
from ppl_models.errors import InputError, whole_number

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")
CSV = {".csv": ",", ".tsv": "\t"}
XARRAY = (".zarr", ".nc", ".nc4", ".h5", ".hdf5")
SUFFIXES = (*PARQUET, *ARROW, *CSV, *XARRAY, ".npy", ".h5ad")

ONCE = (
    "these blocks can be gone through once only, and a method passes over the data many times: "
    "give a list, a file, or an object whose __iter__ begins anew; or fit some of the rows, and go "
    "on by update(tree, blocks), which passes over them once"
)


@dataclass(frozen=True)
class Blocks:
    """Rows that come in blocks: arrays or data frames of the same columns.

    Args:
        make: begins a pass over the rows; every pass gives the same rows in the same order.
        name: of the source, for messages.
        texts: begins a pass over the cells as they are written, of files that have text.

    >>> blocks = open_blocks([np.zeros((2, 3)), np.ones((1, 3))])
    >>> [block.shape for block in blocks]
    [(2, 3), (1, 3)]
    """

    make: Callable[[], Iterator[Any]]
    name: str
    texts: Callable[[], Iterator[Any]] | None = None

    def __iter__(self) -> Iterator[Any]:
        """A pass over the rows."""
        return iter(self.make())

    def sample(self, rows: int, *, seed: int) -> np.ndarray:
        """A uniform sample of the rows, in their order.

        Reservoir sampling (Vitter 1985), in one pass.

        Args:
            rows: how many; all of them where there are fewer.
            seed: of the random numbers.
        """
        generator = np.random.default_rng(seed)
        whole_number("rows", rows)
        whole_number("seed", seed, minimum=0)
        blocks: list[Any] = []
        places: list[int] = []
        count = 0
        for block in self:
            for row in np.asarray(block):
                place = count if count < rows else int(generator.integers(count + 1))
                count += 1
                if place < rows:
                    if len(blocks) < rows:
                        blocks.append(row.copy())
                        places.append(count)
                    else:
                        blocks[place], places[place] = row.copy(), count
        return np.stack([blocks[i] for i in np.argsort(places)])


def in_blocks(data: Any) -> bool:
    """Whether data are read in blocks by default: block sources, and arrays on disk."""
    if isinstance(data, Blocks | Path):
        return True
    if isinstance(data, str):
        return data.lower().endswith(SUFFIXES)
    module = type(data).__module__
    return module == "pyarrow._dataset" or module.partition(".")[0] in ("dask", "dask_expr")


def open_blocks(
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    variable: str | None = None,
    rows: int | None = None,
) -> Blocks:
    """Rows of a file, or of any re-iterable source, block by block.

    See `predict_to` for what is asked of blocks after a fit.

    Args:
        source: a path (``.parquet`` or a directory of such files, ``.arrow``, ``.feather``,
            ``.csv``, ``.tsv``, ``.npy``, ``.zarr``, ``.nc``, ``.h5``, ``.h5ad``), a
            ``pyarrow.dataset.Dataset``, a Dask array or data frame, a memory map or an array, an
            ``xarray.DataArray``, or an iterable of arrays or data frames that begins anew whenever
            it is gone through.
        columns: of tables, those that are data (default: all).
        variable: of Zarr, NetCDF and HDF5 files, the one that is data (default: the only one).
        rows: most rows of a block (default: some megabytes).

    Raises:
        InputError: a source that cannot be read in blocks.

    >>> [len(block) for block in open_blocks(np.zeros((5, 2)), rows=2)]
    [2, 2, 1]
    """
    if rows is not None:
        whole_number("rows", rows)
    if isinstance(source, Blocks):
        return source
    if isinstance(source, str | Path):
        return _file(Path(source), columns, variable, rows)
    if type(source).__module__.startswith("pyarrow"):
        return _arrow(source, columns, rows, "the Arrow data set")
    if isinstance(source, np.ndarray) or type(source).__module__.startswith("xarray"):
        return _array(source, rows, "the array")
    if type(source).__module__.partition(".")[0] in ("dask", "dask_expr"):
        return importlib.import_module("ppl_models.data.blocks.spread").of_collection(source)
    if isinstance(source, Iterable):
        if isinstance(source, Iterator) or iter(source) is iter(source):
            raise InputError(ONCE)
        return Blocks(lambda: iter(source), "the iterable")
    raise InputError(f"{type(source).__name__} cannot be read in blocks: give a path or an array")


def _file(
    path: Path, columns: Sequence[str] | None, variable: str | None, rows: int | None
) -> Blocks:
    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError(f"there is no file {path}")
    if suffix in PARQUET or (path.is_dir() and suffix != ".zarr"):
        dataset = module_of_extra("pyarrow.dataset", "arrow").dataset(path, format="parquet")
        return _arrow(dataset, columns, rows, str(path))
    if suffix in ARROW:
        dataset = module_of_extra("pyarrow.dataset", "arrow").dataset(path, format="ipc")
        return _arrow(dataset, columns, rows, str(path))
    if suffix in CSV:
        _refuse_other_delimiter(path, CSV[suffix])
        return Blocks(
            lambda: _csv(path, CSV[suffix], columns, rows),
            str(path),
            lambda: _csv(path, CSV[suffix], columns, rows, dtype=str),
        )
    if suffix == ".npy":
        return Blocks(lambda: _npy(path, rows), str(path))
    if suffix == ".h5ad":
        return Blocks(lambda: _anndata(path, rows), str(path))
    if suffix in XARRAY:
        return Blocks(lambda: _dataset(path, variable, rows), str(path))
    raise InputError(f"{path} ends with none of {', '.join(SUFFIXES)}: name the file by its format")


def module_of_extra(name: str, extra: str) -> Any:
    """An optional module.

    Raises:
        InputError: it is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"{name.split('.')[0]} is not installed: pip install 'ppl-models[{extra}]'"
        ) from None


def _rows_of(row_bytes: int, rows: int | None) -> int:
    return rows or max(1, memory.FILE_BLOCK_BYTES // max(row_bytes, 1))


def _arrow(dataset: Any, columns: Sequence[str] | None, rows: int | None, name: str) -> Blocks:
    names = list(dataset.schema.names)
    lacking = [c for c in columns or () if c not in names]
    if lacking:
        raise InputError(f"{name} has no column '{lacking[0]}': it has {', '.join(names)}")
    wanted = list(columns or names)
    most = _rows_of(8 * len(wanted), rows)

    def make() -> Iterator[Any]:
        for batch in dataset.to_batches(columns=wanted, batch_size=most, fragment_readahead=1):
            if len(batch):
                yield batch.to_pandas()

    return Blocks(make, name)


def _csv(
    path: Path,
    delimiter: str,
    columns: Sequence[str] | None,
    rows: int | None,
    dtype: type | None = None,
) -> Iterator[Any]:
    import pandas as pd

    names = pd.read_csv(path, sep=delimiter, nrows=0).columns
    most = _rows_of(8 * len(names), rows)
    wanted = None if columns is None else list(columns)
    checked = False  # whether rows that are too short have been looked for
    try:
        with pd.read_csv(
            path,
            sep=delimiter,
            chunksize=most,
            na_values=MISSING_TEXTS,
            keep_default_na=False,
            skipinitialspace=True,
            dtype=dtype,
        ) as pieces:
            for piece in pieces:
                if not checked and piece.iloc[:, -1].isna().any():
                    _refuse_short_rows(path, delimiter, len(names))
                    checked = True
                yield piece if wanted is None else piece[wanted]
    except pd.errors.ParserError as error:
        raise InputError(f"{path} cannot be parsed as a table: {str(error).strip()}") from error


def _refuse_short_rows(path: Path, delimiter: str, names: int) -> None:
    """Refuse a row with fewer cells than column names, which pandas would fill as missing."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        for row in reader:
            if row and len(row) < names:
                raise InputError(
                    f"line {reader.line_num} of {path} has {len(row)} cells where the first line "
                    f"has {names} names: leave cells that are missing empty"
                )


def _refuse_other_delimiter(path: Path, delimiter: str) -> None:
    """Refuse a file of one column whose name looks like several."""
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    others = [d for d in ";\t|," if d != delimiter and d in first]
    if delimiter not in first and others:
        raise InputError(
            f"{path} has one column, '{first.strip()[:40]}', when split at {delimiter!r}: read it "
            f"into memory with read_file(path, separator={others[0]!r}), or write it with "
            f"{delimiter!r} as the separator"
        )


def _npy(path: Path, rows: int | None) -> Iterator[np.ndarray]:
    """Pieces of the array, read and not mapped: pages of a map count as the process's memory."""
    array = np.load(path, mmap_mode="r")
    if array.ndim == 0 or not array.flags.c_contiguous:
        yield from _array(array, rows, str(path))
        return
    count, tail, kind, offset = len(array), array.shape[1:], array.dtype, array.offset
    del array
    cells = math.prod(tail)
    most = _rows_of(kind.itemsize * cells, rows)
    for first in range(0, count, most):
        size = min(most, count - first)
        place = offset + first * cells * kind.itemsize
        yield np.fromfile(path, kind, size * cells, offset=place).reshape(size, *tail)


def _array(array: Any, rows: int | None, name: str) -> Blocks:
    if array.ndim == 0:
        raise InputError(f"{name} is a single number: give rows")
    most = _rows_of(array.dtype.itemsize * math.prod(array.shape[1:]), rows)

    def make() -> Iterator[Any]:
        for first in range(0, len(array), most):
            piece = array[first : first + most]
            yield np.array(piece) if isinstance(piece, np.ndarray) else piece.load()

    return Blocks(make, name)


def _anndata(path: Path, rows: int | None) -> Iterator[Any]:
    """Rows of ``X``, of which a sparse one is made dense block by block."""
    import pandas as pd

    table = module_of_extra("anndata", "anndata").read_h5ad(path, backed="r")
    try:
        most = _rows_of(8 * table.n_vars, rows)
        for first in range(0, table.n_obs, most):
            piece = table.X[first : first + most]
            dense = piece.toarray() if hasattr(piece, "toarray") else np.asarray(piece)
            yield pd.DataFrame(dense, columns=list(table.var_names))
    finally:
        table.file.close()


def _dataset(path: Path, variable: str | None, rows: int | None) -> Iterator[Any]:
    import xarray as xr

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
            opened = xr.open_dataset(path, engine="zarr" if path.suffix == ".zarr" else None)
    except (ValueError, ImportError) as error:
        raise InputError(f"{path} could not be opened: {str(error).splitlines()[0]}") from error
    with opened as dataset:
        names = [str(n) for n in dataset.data_vars]
        if variable is None and len(names) != 1:
            raise InputError(f"{path} has variables {', '.join(names)}: name one by variable=")
        if variable is not None and variable not in names:
            raise InputError(f"{path} has no variable '{variable}': it has {', '.join(names)}")
        yield from _array(dataset[variable or names[0]], rows, str(path))
