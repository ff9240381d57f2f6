"""Rows on the workers of a Dask cluster: functions are sent there, results come back.

A cluster is whatever ``dask.distributed`` has a client of: processes of one computer, or machines
by SSH, SLURM or Kubernetes. The blocks are held by the workers; those of a worker that is lost are
read again by others, from where they came, and answers are added up in the order of the blocks, so
that they do not depend on who computed them. Rocklin (2015), Dask: Parallel computation with
blocked algorithms and task scheduling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppl_models import memory
from ppl_models.data.blocks.source import CSV, PARQUET, Blocks, module_of_extra
from ppl_models.data.missing import MISSING_TEXTS
from ppl_models.errors import InputError

EXTRA = "distributed"


@dataclass(frozen=True)
class SpreadBlocks(Blocks):
    """Blocks on the workers of a cluster.

    Args:
        make: begins a pass over the rows, which come here one block after the other.
        name: of the source, for messages.
        client: of the cluster.
        pieces: futures of the blocks.
    """

    client: Any = None
    pieces: tuple[Any, ...] = ()

    def ask(self, question: Callable, *arguments: Any, each: Sequence[Any] = ()) -> Iterator[Any]:
        """Answers of all blocks, in their order.

        Args:
            question: ``(block, [one of each], *arguments)``, to be sent to the workers.
            *arguments: the same for all blocks; futures are sent as what they are of.
            each: one a block.
        """
        futures = self.hold(question, *arguments, each=each)
        yield from self.client.gather(futures)

    def hold(self, question: Callable, *arguments: Any, each: Sequence[Any] = ()) -> list[Any]:
        """As :meth:`ask`, but the answers stay on the workers."""
        own = [(one,) for one in each] if each else [()] * len(self.pieces)
        return [
            self.client.submit(question, piece, *mine, *arguments, pure=False)
            for piece, mine in zip(self.pieces, own, strict=True)
        ]


def connect(address: str) -> Any:
    """A client of the cluster whose scheduler has this address."""
    distributed = module_of_extra("distributed", EXTRA)
    try:
        return distributed.Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(f"no scheduler answers at {address}: {error}") from None


def spread(data: Any, client: Any) -> SpreadBlocks:
    """Rows as blocks on the workers of a cluster.

    Args:
        data: a Dask array or data frame, or the path of a file that every worker can read: Parquet,
            CSV, ``.npy`` or ``.zarr``.
        client: of ``dask.distributed``.

    Raises:
        InputError: something else.
    """
    module_of_extra("distributed", EXTRA)
    name = str(data) if isinstance(data, str | Path) else f"the Dask {type(data).__name__}"
    delayed = delayed_blocks(_of_path(Path(data)) if isinstance(data, str | Path) else data)
    pieces = tuple(client.compute(delayed))

    def make() -> Iterator[Any]:
        for piece in pieces:
            yield client.gather(piece)

    return SpreadBlocks(make, name, client=client, pieces=pieces)


def is_dask(data: Any) -> bool:
    """Whether data are a collection of Dask."""
    return type(data).__module__.partition(".")[0] in ("dask", "dask_expr")


def delayed_blocks(data: Any) -> list[Any]:
    """The blocks of a Dask array or data frame, not yet computed."""
    if isinstance(data, list):
        return data
    if not hasattr(data, "to_delayed"):
        raise InputError(
            f"{type(data).__name__} cannot be spread over workers: give a Dask array or data "
            "frame, or the path of a Parquet, CSV, .npy or .zarr file"
        )
    if hasattr(data, "rechunk"):
        data = data.rechunk(dict.fromkeys(range(1, data.ndim), -1))
        return list(data.to_delayed().ravel())
    return list(data.to_delayed())


def of_collection(data: Any) -> Blocks:
    """A Dask collection as blocks that are computed one after the other, here."""
    delayed = delayed_blocks(data)
    return Blocks(lambda: (each.compute() for each in delayed), f"the Dask {type(data).__name__}")


def _of_path(path: Path) -> Any:
    """A file as a Dask collection."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError(f"there is no file {path}")
    if suffix in CSV:
        frames = module_of_extra("dask.dataframe", EXTRA)
        texts = {"na_values": MISSING_TEXTS, "keep_default_na": False}
        return frames.read_csv(str(path.resolve()), sep=CSV[suffix], **texts)
    if suffix in PARQUET or (path.is_dir() and suffix != ".zarr"):
        return module_of_extra("dask.dataframe", EXTRA).read_parquet(str(path.resolve()))
    if suffix == ".npy":
        return _of_npy(path.resolve())
    if suffix == ".zarr":
        return module_of_extra("dask.array", EXTRA).from_zarr(str(path.resolve()))
    raise InputError(
        f"{path} cannot be spread over workers: give a Parquet, CSV, .npy or .zarr file, or a "
        "Dask array or data frame of your own"
    )


def _of_npy(path: Path) -> list[Any]:
    delayed = module_of_extra("dask", EXTRA).delayed
    array = np.load(path, mmap_mode="r")
    if array.ndim == 0:
        raise InputError(f"{path} is a single number: give rows")
    most = max(1, 4 * memory.FILE_BLOCK_BYTES // max(array[:1].nbytes, 1))
    return [
        delayed(_rows_of_npy, pure=True)(str(path), first, most)
        for first in range(0, len(array), most)
    ]


def _rows_of_npy(path: str, first: int, most: int) -> np.ndarray:
    return np.array(np.load(path, mmap_mode="r")[first : first + most])
