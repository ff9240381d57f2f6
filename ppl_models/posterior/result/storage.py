"""Saving and loading fits as NetCDF files, without pickle."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from ppl_models.errors import InputError

PACK_BYTES = 1_000_000  #: of a variable, from which on it is packed


def save(tree: xr.DataTree, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a fit to a NetCDF file, whole or not at all.

    See NetCDF-4, https://www.unidata.ucar.edu/software/netcdf, and xarray's DataTree.

    Args:
        tree: a fit.
        path: the file.
        overwrite: replace a file that exists.

    Returns:
        The path.

    Raises:
        InputError: the file exists, or its folder does not.

    >>> import tempfile
    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 9, 8, 9], method="em", seed=0, clusters=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(tree, f"{folder}/fit.nc")).attrs["program"]
    'poisson_mixture'
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        packed = {f"/{g}": _packed(node) for g, node in tree.children.items()}
        tree.to_netcdf(beside, engine="h5netcdf", encoding=packed)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _packed(node: xr.DataTree) -> dict[str, dict[str, object]]:
    """Encoding of sequences without the padding after their ends."""
    packed: dict[str, dict[str, object]] = {}
    for name, variable in node.data_vars.items():
        if "position" not in variable.dims or variable.nbytes < PACK_BYTES:
            continue
        packed[str(name)] = {"zlib": True, "complevel": 1, "shuffle": True}
    return packed


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to overwrite a file, or to write into a folder that does not exist."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the path of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists and was kept: give another path, or overwrite")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}: make it first")


def load(path: str | Path) -> xr.DataTree:
    """Read a fit from a NetCDF file.

    See NetCDF-4, https://www.unidata.ucar.edu/software/netcdf, and xarray's DataTree.

    Args:
        path: the file.

    Raises:
        InputError: no such file, or no fit in it.

    >>> load("no_such_fit.nc")
    Traceback (most recent call last):
    ppl_models.errors.InputError: there is no file no_such_fit.nc
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except Exception as error:
        raise InputError(f"{path} is no NetCDF file that can be read: {error}") from error
    if "program" not in tree.attrs:
        raise InputError(f"{path} holds no fit of ppl_models")
    return tree
