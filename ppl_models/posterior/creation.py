"""New data, and missing cells filled in, from a fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array, random

from ..data.kinds import Observed
from ..distributions.autoregressive import Autoregressive
from ..distributions.token_chain import MISSING_TOKEN
from ..errors import InputError
from ..inference.fit import scope
from ..inference.program import Globals, Model, Structure
from .generation import draw_data
from .recall import Recalled, recall

CELLS = 4_000_000  #: numbers drawn at once


def generate(tree: xr.DataTree, rows: int, *, seed: int, length: int = 100) -> xr.Dataset:
    """New rows (or sequences), each from a draw of the posterior of its own.

    Args:
        tree: a fit.
        rows: how many.
        seed: of the random numbers.
        length: longest sequence, ``<end>`` included; a warning says how many were cut.

    Returns:
        The data sites, ``(row, ...)`` as the observed data are named.

    Raises:
        InputError: fewer than one row.
    """
    if rows < 1:
        raise InputError(f"rows is {rows}: ask for at least one")
    with scope(tree.attrs.get("precision", "float64")):
        found = recall(tree)
        key = random.key(seed)
        values = _resampled(found, key, rows)
        pieces = []
        per_row = max(int(np.prod(np.shape(next(iter(found.problem.model.data.values())))[1:])), 1)
        at_once = max(1, CELLS // per_row)
        for first in range(0, rows, at_once):
            count = min(at_once, rows - first)
            part = {n: v[first : first + count] for n, v in values.items()}
            drawn = draw_data(
                found.problem, part, random.fold_in(key, first + 1), count, rows=1, length=length
            )
            pieces.append({n: v[:, 0] for n, v in drawn.items()})
    drawn = {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}
    return _as_dataset(drawn, found, rows)


def impute(tree: xr.DataTree, data: Any = None, *, draws: int = 100, seed: int) -> xr.Dataset:
    """Fill missing cells in with draws given the observed ones.

    For every draw of the posterior: the assignment given the row's observed cells, then the
    missing cells given assignment and observed cells.

    Args:
        tree: a fit.
        data: rows with missing cells (default: the fitted ones).
        draws: how many fillings, each from another draw of the posterior.
        seed: of the random numbers.

    Returns:
        The data sites ``(draw, row, ...)``; observed cells are as they were.

    Raises:
        InputError: rows that do not have the fit's features, levels or tokens.
    """
    if draws < 1:
        raise InputError(f"draws is {draws}: ask for at least one")
    with scope(tree.attrs.get("precision", "float64")):
        found = recall(tree, data)
        key = random.key(seed)
        values = _resampled(found, key, draws)
        model, structure = found.problem.model, found.problem.structure
        size = max(1, CELLS // (structure.clusters * draws))
        pieces = []
        for first in range(0, structure.rows, size):
            part = model.with_data({n: v[first : first + size] for n, v in model.data.items()})
            here = part.structure()
            filled = _fill(
                part, values, random.split(random.fold_in(key, first + 2), draws), structure=here
            )
            pieces.append({n: np.asarray(v) for n, v in filled.items()})
    filled = {n: np.concatenate([p[n] for p in pieces], axis=1) for n in pieces[0]}
    variables = {
        n: (("draw", *found.observed[n].dims), _restore(v, found.observed[n]))
        for n, v in filled.items()
    }
    return _with_coords(xr.Dataset(variables), found.observed)


def _restore(filled: np.ndarray, observed: Observed) -> np.ndarray:
    """Observed cells exactly as they were given."""
    values = observed.values
    absent = np.isnan(values) if values.dtype.kind == "f" else values == MISSING_TOKEN
    return np.where(absent, filled, values)


def _resampled(found: Recalled, key: Array, count: int) -> Globals:
    """Global sites of ``count`` draws: all in turn where that is enough, else at random."""
    total = found.shape[0] * found.shape[1]
    if count <= total:
        chosen = np.linspace(0, total - 1, count).astype(int)
    else:
        chosen = np.asarray(random.randint(key, (count,), 0, total))
    return {n: jnp.asarray(v[chosen]) for n, v in found.values.items()}


@partial(jax.jit, static_argnames=("structure",))
def _fill(model: Model, values: Globals, keys: Array, *, structure: Structure) -> dict[str, Array]:
    def one(pair: tuple[Array, Globals]) -> dict[str, Array]:
        key, held = pair
        assign_key, *site_keys = random.split(key, 1 + len(structure.emissions))
        chosen = None
        if structure.assignment is not None:
            chosen = random.categorical(assign_key, model.logits(held, structure), axis=0)
        trace = model.trace_at(held, structure, assignment=chosen)
        filled = {}
        for site_key, name in zip(site_keys, structure.emissions, strict=True):
            emission = _rowwise(trace[name]["fn"])
            filled[name] = emission.complete(site_key, _gaps(model.data[name], emission))
        return filled

    return jax.lax.map(one, (keys, values), batch_size=8)


def _rowwise(distribution: Any) -> Any:
    """The emission as a family with one component a row."""
    from ..distributions.convert import as_family, unwrap

    whole = unwrap(distribution)
    if isinstance(whole, Autoregressive) and whole.needs_whole_rows:
        return whole  # (one for all rows)
    family = as_family(distribution)
    if family is None:
        raise InputError(
            f"cells of {type(distribution).__name__} cannot be filled in: write the emission "
            "with a family of ppl_models.distributions"
        )
    rows = distribution.batch_shape[-1]
    arguments = {}
    for name, dims in family.parameter_dims.items():
        parameter = jnp.asarray(getattr(family, name))
        event = parameter.shape[parameter.ndim - dims :]
        if name not in family.shared_parameters:
            parameter = jnp.broadcast_to(parameter, (rows, *event))
        arguments[name] = parameter
    return family.replace(**arguments)


def _gaps(value: Any, family: Any) -> Array:
    """Data as ``complete`` takes them: floating-point, unless gaps are marked by a code."""
    array = jnp.asarray(value)
    if family.event_dim and getattr(family, "positions", None):
        return array
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def _as_dataset(drawn: Mapping[str, np.ndarray], found: Recalled, rows: int) -> xr.Dataset:
    dims = {n: o.dims for n, o in found.observed.items()}
    dataset = xr.Dataset({n: (dims[n], v) for n, v in drawn.items()})
    for name, value in drawn.items():
        if dims[name][-1] == "position":
            end = len(found.observed[name].coords["token"])
            cut = int((value[:, -1] != end).sum())
            if cut:
                warnings.warn(
                    f"{cut} of {rows} sequences were cut at {value.shape[1]} positions before "
                    "<end>: raise length",
                    stacklevel=3,
                )
    return _with_coords(dataset, found.observed)


def _with_coords(dataset: xr.Dataset, observed: Mapping[str, Observed]) -> xr.Dataset:
    """Names of features, levels and tokens; rows of the dataset's own."""
    known: dict[str, Any] = {}
    for reading in observed.values():
        for name, labels in reading.coords.items():
            if name in dataset.sizes and len(labels) == dataset.sizes[name]:
                known[name] = np.asarray(labels)
        if "token" in reading.coords:
            dataset.attrs["token"] = [str(t) for t in reading.coords["token"]]
    return dataset.assign_coords(known)
