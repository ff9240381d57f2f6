"""New data from a fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array, random

from ppl_models import memory
from ppl_models.distributions.sequences.autoregressive import Autoregressive
from ppl_models.errors import InputError, whole_number
from ppl_models.posterior.density.sequences import sequence_site
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.posterior.result.stored_data import new_rows
from ppl_models.posterior.simulate.cells import draw_cells
from ppl_models.posterior.simulate.groups import read_covariates, with_arguments
from ppl_models.posterior.simulate.predictive import (
    draw_data,
    program_covariates,
    refuse_undrawable,
    resampled,
    runs_without_data,
)
from ppl_models.posterior.simulate.sequence_sampling import Style, codes_of, sample_sequences
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.rows.order import ADVICE, PLACES
from ppl_models.program.runtime.precision import cast, scope


def generate(
    tree: xr.DataTree,
    rows: int,
    *,
    seed: int,
    length: int = 100,
    prefix: Any = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    covariates: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """New rows (or sequences), each from a different posterior draw.

    Of a program whose rows are the steps of a chain, one series of ``rows`` steps from one draw; of
    one with several series in a plate, ``rows`` series as long as the fitted ones.

    Draws from the posterior predictive distribution, Gelman et al. (2013), Bayesian Data Analysis,
    §1.3; `top_p` is the nucleus sampling of Holtzman et al. (2020).

    Args:
        tree: a fit.
        rows: how many.
        seed: of the random numbers.
        length: longest sequence, ``<end>`` included; a warning says how many were cut, and the
            coordinate ``cut`` of the result which.
        prefix: tokens that all sequences begin with, a string or a list. Draws and clusters are
            chosen by how probable they make it, so that what follows has its probability given
            the prefix.
        temperature: of the choice of each token: below 1 the probable ones become more so; 0
            takes the most probable.
        top_k: draw among the ``top_k`` most probable tokens.
        top_p: choose among the fewest tokens whose probabilities add up to at least this.
        covariates: data of the new rows that the program conditions on, such as the predictors of a
            regression, by parameter (default: those of the fitted rows).
        arguments: of the program that differ from the fit's: more groups than were fitted, such as
            ``{"schools": 12}``. The new ones, which covariates may name, are drawn from the
            distribution of the groups.

    Returns:
        The data sites, ``(row, ...)`` as the observed data are named.

    Raises:
        InputError: a number out of range, a choice of tokens that makes no sense, or one where the
            program writes no sequences.

    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 9, 8, 9], method="em", seed=0, clusters=1)
    >>> dict(generate(tree, 4, seed=1)["x"].sizes)
    {'row': 4}
    """
    whole_number("rows", rows)
    whole_number("length", length)
    whole_number("seed", seed, minimum=0)
    style = Style(temperature, top_k, top_p).check()
    with scope(tree.attrs.get("precision", "float64")):
        restored = restore(tree)
        if restored.problem.own_data is None or not runs_without_data(restored.problem):
            refuse_undrawable(restored.problem, "new data")
        if arguments:
            restored = with_arguments(restored, arguments)
        key = random.key(seed)
        written = sequence_site(restored)
        if written is None and (prefix is not None or style != Style()):
            raise InputError(
                f"the program {tree.attrs['program']} does not write sequences token by token: "
                "leave prefix, temperature, top_k and top_p out"
            )
        if restored.structure.indexed:
            return _as_dataset(draw_cells(restored, key, rows, covariates, arguments), restored)
        if restored.problem.row_order:
            return _as_dataset(_rows_in_place(tree, restored, key, rows, covariates), restored)
        others = _covariates(tree, restored, rows, covariates, arguments)
        if written is None:
            by_row = _rows(restored, key, rows, length, others, larger=bool(arguments))
            return _as_dataset(by_row, restored)
        if others:
            raise InputError(
                f"the sequences of {tree.attrs['program']} depend on {', '.join(others)}, and are "
                "written token by token, which knows no such data: run the program itself"
            )
        site, emission = written
        drawn = _sequences(tree, restored, site, emission, key, rows, length, prefix, style)
    made = _as_dataset({site: drawn}, restored)
    if not emission.ends:
        return made
    cut = drawn[:, -1] != emission.tokens
    if cut.any():
        warnings.warn(
            f"{cut.sum()} of {rows} sequences were cut at {drawn.shape[1]} positions before <end>: "
            "raise length",
            stacklevel=2,
        )
    return made.assign_coords(cut=(made[site].dims[0], cut))


def _sequences(
    tree: xr.DataTree,
    restored: RestoredFit,
    site: str,
    emission: Autoregressive,
    key: Array,
    rows: int,
    length: int,
    prefix: Any,
    style: Style,
) -> np.ndarray:
    """Sequences sampled token by token, ``(row, length)``."""
    if not emission.ends:
        length = emission.positions
    if length < 2 and emission.ends:
        raise InputError(f"length is {length}: a token and <end> need at least 2")
    begun, values = None, {n: jnp.asarray(v) for n, v in restored.values.items()}
    if prefix is not None:
        begun = codes_of(prefix, from_json(tree.attrs["coordinate_labels"]), emission, length)
    else:
        values = resampled(restored, key, rows)
    return sample_sequences(
        restored, site, key, rows, length=length, style=style, prefix=begun, values=values
    )


def _covariates(
    tree: xr.DataTree,
    restored: RestoredFit,
    rows: int,
    covariates: Mapping[str, Any] | None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Data of new rows that the program conditions on, ``(row, ...)``."""
    problem = restored.problem
    wanted = program_covariates(problem.model, problem.structure)
    if covariates is None and (not wanted or rows == problem.structure.rows):
        return {n: np.asarray(v) for n, v in wanted.items()}
    if covariates is None or set(covariates) != set(wanted):
        raise InputError(
            f"the rows of {tree.attrs['program']} depend on {', '.join(wanted) or 'no data'}, and "
            f"covariates holds {', '.join(covariates or {}) or 'nothing'}: give just what they "
            f"depend on, of {rows} rows"
        )
    read = read_covariates(tree, covariates, arguments)
    count = len(next(iter(read.values())).values)
    if count != rows:
        raise InputError(f"covariates holds {count} rows, and {rows} are asked for: give as many")
    return {n: cast(o.values, tree.attrs["precision"]) for n, o in read.items()}


def _rows(
    restored: RestoredFit,
    key: Array,
    rows: int,
    length: int,
    covariates: Mapping[str, np.ndarray],
    *,
    larger: bool = False,
) -> dict[str, np.ndarray]:
    """Rows from one run of the program, each at a different posterior draw."""
    values = resampled(restored, key, rows)
    pieces = []
    per_row = max(int(np.prod(np.shape(next(iter(restored.problem.model.data.values())))[1:])), 1)
    at_once = max(1, memory.BLOCK_NUMBERS // per_row)
    for first in range(0, rows, at_once):
        count = min(at_once, rows - first)
        part = {n: v[first : first + count] for n, v in values.items()}
        own = {n: v[first : first + count, None] for n, v in covariates.items()}
        part_key = random.fold_in(key, first + 1)
        drawn = draw_data(restored.problem, part, part_key, count, 1, length, own, larger=larger)
        pieces.append({n: v[:, 0] for n, v in drawn.items()})
    return {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}


def _rows_in_place(
    tree: xr.DataTree,
    restored: RestoredFit,
    key: Array,
    rows: int,
    covariates: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """The first rows of runs at different draws, for rows that depend on their place."""
    all_rows = restored.structure.rows
    if restored.structure.chain is not None:
        return _series(tree, restored, key, rows, covariates)
    if rows > all_rows or (covariates is not None and rows != all_rows):
        raise InputError(
            f"{PLACES}, and it has {all_rows} of them: ask for "
            f"{'just' if covariates is not None else 'at most'} {all_rows} rows, or {ADVICE}"
        )
    others = _covariates(tree, restored, all_rows, covariates)
    values = resampled(restored, key, rows)
    per_run = max(sum(np.size(v) for v in restored.problem.model.data.values()), 1)
    at_once = max(1, memory.BLOCK_NUMBERS // per_run)
    pieces = []
    for first in range(0, rows, at_once):
        count = min(at_once, rows - first)
        part = {n: v[first : first + count] for n, v in values.items()}
        own = {n: np.broadcast_to(v, (count, *v.shape)) for n, v in others.items()}
        part_key = random.fold_in(key, first + 1)
        drawn = draw_data(restored.problem, part, part_key, count, all_rows, None, own)
        pieces.append({n: v[np.arange(count), first + np.arange(count)] for n, v in drawn.items()})
    return {n: np.concatenate([p[n] for p in pieces]) for n in pieces[0]}


def _series(
    tree: xr.DataTree,
    restored: RestoredFit,
    key: Array,
    steps: int,
    covariates: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """One series of a program's own chain, at one posterior draw."""
    if restored.structure.panel:
        return _several_series(tree, restored, key, steps, covariates)
    others = {n: v[None] for n, v in _covariates(tree, restored, steps, covariates).items()}
    total = restored.shape[0] * restored.shape[1]
    draw_key, data_key = random.split(key)
    draw = int(random.randint(draw_key, (), 0, total))
    values = {n: jnp.asarray(v[draw : draw + 1]) for n, v in restored.values.items()}
    drawn = draw_data(restored.problem, values, data_key, 1, steps, None, others)
    return {n: v[0] for n, v in drawn.items()}


def _several_series(
    tree: xr.DataTree,
    restored: RestoredFit,
    key: Array,
    count: int,
    covariates: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """Series as long as the fitted ones, each at a different posterior draw.

    Series n has the covariates of the n-th fitted one; after the last comes the first again.
    """
    chain = restored.structure.chain
    assert chain is not None
    wanted = program_covariates(restored.problem.model, restored.structure)
    others = {n: np.asarray(v) for n, v in wanted.items()}
    if covariates is not None:
        read = new_rows(tree, dict(covariates))
        shapes = {n: np.shape(o.values) for n, o in read.items()}
        if shapes != {n: np.shape(v) for n, v in wanted.items()}:
            raise InputError(
                f"the series of {tree.attrs['program']} depend on "
                f"{', '.join(wanted) or 'no data'}: give covariates just these, in the shapes of "
                "the fitted ones"
            )
        others = {n: cast(o.values, tree.attrs["precision"]) for n, o in read.items()}
    values = resampled(restored, key, count)
    numbers = sum(np.size(v) for v in restored.problem.model.data.values())
    at_once = max(1, memory.BLOCK_NUMBERS // max(numbers, 1))
    pieces = []
    for first in range(0, count, at_once):
        here = np.arange(first, min(first + at_once, count))
        part = {n: v[here] for n, v in values.items()}
        own = {n: np.broadcast_to(v, (len(here), *v.shape)) for n, v in others.items()}
        drawn = draw_data(
            restored.problem, part, random.fold_in(key, first + 1), len(here), None, None, own
        )
        pieces.append({n: _of_series(v, n, restored, here) for n, v in drawn.items()})
    return {
        n: np.concatenate([p[n] for p in pieces], axis=_series_axis(restored, n)) for n in pieces[0]
    }


def _series_axis(restored: RestoredFit, name: str) -> int:
    """The series axis of a site's data."""
    chain = restored.structure.chain
    assert chain is not None
    unit = chain.plates[0][0]
    dims = restored.observed[name].dims
    return dims.index(unit) if unit in dims else 1


def _of_series(
    drawn: np.ndarray, name: str, restored: RestoredFit, wanted: np.ndarray
) -> np.ndarray:
    """The n-th series of the n-th run of a program."""
    axis = _series_axis(restored, name)
    by_series = np.moveaxis(drawn, 1 + axis, 1)
    return np.moveaxis(by_series[np.arange(len(wanted)), wanted % by_series.shape[1]], 0, axis)


def _as_dataset(drawn: Mapping[str, np.ndarray], restored: RestoredFit) -> xr.Dataset:
    return restored.dataset({n: (restored.observed[n].dims, v) for n, v in drawn.items()})
