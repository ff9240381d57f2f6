"""Predictions for rows read in blocks, written to a file block by block."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import memory
from ppl_models.data.blocks.ahead import ahead
from ppl_models.data.blocks.source import open_blocks
from ppl_models.errors import InputError
from ppl_models.posterior.density.prediction import log_density, predict
from ppl_models.posterior.result.names import NAMES

Columns = dict[str, np.ndarray]


def predict_to(
    tree: xr.DataTree, source: Any, path: str | Path, *, draws: int | None = None
) -> int:
    """Write every row's cluster, its probability of each cluster and its log-density to a file.

    See `predict`, whose answer it writes.

    The file appears only when it is complete.

    Args:
        tree: a fit of a program with clusters.
        source: rows in anything that ``open_blocks`` takes, or an iterator of blocks.
        path: to write, which ends in ``.parquet`` (columns ``assignment``, ``cluster_0``, ...,
            ``log_density``) or ``.zarr`` (variables ``assignment``, ``responsibilities``,
            ``log_density``). Clusters with names are called by them in the first, and in the
            attribute ``cluster_names`` of the second.
        draws: use at most this many draws a chain.

    Returns:
        The number of rows.

    Raises:
        InputError: a path that ends otherwise or exists, or rows that do not fit.

    >>> import tempfile
    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 2, 30, 28, 29], method="em", seed=0, clusters=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     predict_to(tree, [np.array([2, 31]), np.array([3])], f"{folder}/rows.parquet")
    3
    """
    target = Path(path)
    writers: dict[str, Callable] = {".parquet": _parquet, ".zarr": _zarr}
    if target.suffix not in writers:
        raise InputError(f"{target} ends in neither .parquet nor .zarr: say by its end what it is")
    if target.exists():
        raise InputError(f"{target} exists: remove it, or give another path")
    count = 0
    partial = target.with_name(f".{target.name}.partial")
    with writers[target.suffix](partial) as write:
        # (an iterator serves too, for one pass is made)
        blocks = source if isinstance(source, Iterator) else open_blocks(source)
        for piece, rows in ahead(lambda: _of_size(blocks)):
            table = predict(tree, piece, draws=draws)[:rows]
            density = log_density(tree, piece, draws=draws).values[:rows]
            write(table, density)
            count += rows
    if not count:
        raise InputError("the source has no rows")
    os.replace(partial, target)
    return count


def _of_size(blocks: Any) -> Iterator[tuple[Any, int]]:
    """Blocks padded to one length, and the number of actual rows in each."""
    size = 0
    for block in blocks:
        if not len(block):
            continue
        size = size or min(len(block), memory.PREDICTED_ROWS)
        for first in range(0, len(block), size):
            rows = min(size, len(block) - first)
            places = first + np.minimum(np.arange(size), rows - 1)
            yield _taken(block, places), rows


def _taken(block: Any, places: np.ndarray) -> Any:
    if hasattr(block, "iloc"):
        return block.iloc[places].reset_index(drop=True)
    if hasattr(block, "isel"):
        return block.isel({block.dims[0]: places})
    return np.asarray(block)[places]


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[xr.DataArray, np.ndarray], None]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError("pyarrow is not installed: pip install 'ppl-models[arrow]'") from None
    opened: list[Any] = []

    def write(table: xr.DataArray, density: np.ndarray) -> None:
        names = table["cluster"].values
        best = names[table.values.argmax(1)]
        columns = {"assignment": best.astype(np.int32) if names.dtype.kind == "i" else best}
        columns |= {f"cluster_{name}": table.values[:, k] for k, name in enumerate(names)}
        arrow = pa.table(columns | {"log_density": density})
        if not opened:
            opened.append(pq.ParquetWriter(path, arrow.schema))
        opened[0].write_table(arrow)

    try:
        yield write
    except BaseException:
        for writer in opened:
            writer.close()
        path.unlink(missing_ok=True)
        raise
    for writer in opened:
        writer.close()


@contextmanager
def _zarr(path: Path) -> Iterator[Callable[[xr.DataArray, np.ndarray], None]]:
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise InputError("zarr is not installed: pip install 'ppl-models[zarr]'") from None
    shutil.rmtree(path, ignore_errors=True)

    def write(table: xr.DataArray, density: np.ndarray) -> None:
        names = table["cluster"].values
        rows = xr.Dataset(
            {
                "assignment": ("row", table.values.argmax(1).astype(np.int32)),
                "responsibilities": (("row", "cluster"), table.values),
                "log_density": ("row", density),
            },
            attrs={} if names.dtype.kind == "i" else {NAMES: names.tolist()},
        )
        if path.exists():
            rows.to_zarr(path, append_dim="row", consolidated=False)
        else:
            chunked = {
                n: {"chunks": (memory.PREDICTED_ROWS, *v.shape[1:])}
                for n, v in rows.data_vars.items()
            }
            rows.to_zarr(path, encoding=chunked, consolidated=False)

    try:
        yield write
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
