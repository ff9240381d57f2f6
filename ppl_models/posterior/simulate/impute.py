"""Imputation of missing cells."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array, random

from ppl_models import memory
from ppl_models.data.kinds import Observed
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.convert import as_family, is_own, unwrap
from ppl_models.distributions.missing_cells import complete
from ppl_models.distributions.sequences.autoregressive import as_autoregressive
from ppl_models.distributions.sequences.infilling.combinations import GapWindow
from ppl_models.distributions.sequences.infilling.fill import window_to_compile
from ppl_models.errors import InputError, whole_number
from ppl_models.inference.missing_cells import missing_cells_fault
from ppl_models.inference.problem import Problem
from ppl_models.posterior.density.possible import refuse_impossible
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.posterior.simulate.predictive import (
    plain_integers,
    refuse_undrawable,
    resampled,
    undrawable,
)
from ppl_models.program.chains.chain_data import as_observed
from ppl_models.program.chains.chain_densities import draw_assignments
from ppl_models.program.densities.local_integrals import draw_locals, points_a_row
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure

FILLING = "filling of missing cells"  #: what a refusal calls it


def impute(
    tree: xr.DataTree,
    data: Any = None,
    *,
    draws: int | None = None,
    seed: int,
    most_probable: bool = False,
) -> xr.Dataset:
    """Impute missing cells by draws given the observed cells.

    For every draw of the posterior: the assignment given the row's observed cells, the row's own
    continuous sites given both, then the missing cells given all of them.

    Data augmentation of Tanner and Wong (1987); Little and Rubin (2019), Statistical Analysis with
    Missing Data, chapter 10.

    Args:
        tree: a fit.
        data: rows with missing cells (default: the fitted ones).
        draws: how many fillings, each from another draw of the posterior (default: 100; 1 for
            the most probable filling of a point, which has no other).
        seed: of the random numbers.
        most_probable: at each draw of the posterior the one most probable filling of a row, all
            its gaps together and with its cluster, instead of a draw; for chains of tokens.

    Returns:
        The data sites ``(draw, row, ...)``; observed cells are as they were.

    Raises:
        InputError: a number out of range, rows that do not have the fit's features, levels or
            tokens, or a family that knows no most probable filling.

    >>> from ppl_models import fit
    >>> rows = [[0.1, 0.2], [0.3, None], [9.1, 9.3], [9.2, 8.9], [0.2, 0.1], [9.0, 9.1]]
    >>> tree = fit("gaussian_mixture", rows, method="em", seed=0, clusters=2, predictive=0)
    >>> filled = impute(tree, seed=1, draws=20)["x"]
    >>> dict(filled.sizes), bool((filled[:, 1, 1] < 5).all())  # as the others of its cluster
    ({'draw': 20, 'row': 6, 'feature': 2}, True)
    """
    if draws is None:
        draws = 1 if most_probable and tree.attrs.get("kind") == "point" else 100
    whole_number("draws", draws)
    whole_number("seed", seed, minimum=0)
    with scope(tree.attrs.get("precision", "float64")):
        restored = restore(tree, data)
        problem = restored.problem
        structure = problem.structure
        refuse_undrawable(problem, FILLING, observed=True)
        if data is not None:
            refuse_impossible(restored)
        key = random.key(seed)
        values = resampled(restored, key, draws)
        if most_probable and structure.locals:
            raise InputError(
                f"site '{structure.locals[0]}' is continuous and one for every row, and is drawn "
                "with the missing cells: leave most_probable out"
            )
        size = max(1, memory.BLOCK_NUMBERS // (structure.clusters * draws))
        if structure.locals:
            size = max(1, memory.BLOCK_NUMBERS // (ABREAST * points_a_row(structure)))
        if size < structure.rows and problem.row_order:
            size = structure.rows
        windows, pieces = _windows(restored), []
        for first in range(0, structure.rows, size):
            part, here = restored.rows(slice(first, first + size))
            if most_probable:
                filled = _fill_best(part, values, structure=here, windows=windows)
            else:
                keys = random.split(random.fold_in(key, first + 2), draws)
                filled = _fill(part, values, keys, structure=here, windows=windows)
            pieces.append({n: np.asarray(v) for n, v in filled.items()})
    filled = {n: np.concatenate([p[n] for p in pieces], axis=1) for n in pieces[0]}
    variables = {
        n: (("draw", *restored.observed[n].dims), _restore(v, restored.observed[n]))
        for n, v in filled.items()
    }
    return restored.dataset(variables)


def can_impute(fitted: RestoredFit, site: str, missing: np.ndarray) -> bool:
    """Whether cells of a fit's own rows could be imputed if they were missing.

    Args:
        fitted: a fit on its rows.
        site: whose cells they are.
        missing: which they are, broadcast to the rows.
    """
    problem = fitted.problem
    if problem.row_order or undrawable(problem, FILLING, observed=True) is not None:
        return False
    rows = np.where(missing, np.nan, np.asarray(problem.model.data[site], float))
    emptied = Problem(problem.model.with_data({site: rows}), problem.structure)
    return missing_cells_fault(emptied, fitted=True) is None


def _restore(filled: np.ndarray, observed: Observed) -> np.ndarray:
    """Observed cells exactly as they were given."""
    values = observed.values
    return np.where(missing_cells(values), filled, values)


ABREAST = 8  #: fillings side by side

Windows = tuple[tuple[str, GapWindow], ...]  #: by site, of what is written token by token


def _windows(restored: RestoredFit) -> Windows:
    """Static facts about the gaps of sequences, needed for compilation."""
    data = restored.problem.model.data
    return tuple(
        (name, window_to_compile(emission, data[name]))
        for name, emission in restored.problem.autoregressive.items()
    )


@partial(jax.jit, static_argnames=("structure", "windows"))
def _fill(
    model: Model, values: Globals, keys: Array, *, structure: Structure, windows: Windows
) -> dict[str, Array]:
    known = dict(windows)
    counting = replace(model, data=plain_integers(model.data))

    def one(pair: tuple[Array, Globals]) -> dict[str, Array]:
        key, held = pair
        assign_key, *site_keys = random.split(key, 1 + len(structure.emissions))
        chosen = None
        if structure.assignment is not None:
            chosen = draw_assignments(model, assign_key, held, structure)
        if structure.locals:
            clusters = jnp.zeros(structure.rows, int) if chosen is None else chosen
            local_key = random.fold_in(assign_key, 1)
            held = {**held, **draw_locals(model, held, structure, clusters, local_key)}
        if chosen is not None:
            chosen = chosen.astype(jnp.result_type(int))
        trace = counting.trace_at(held, structure, assignment=chosen)
        filled = {}
        for site_key, name in zip(site_keys, structure.emissions, strict=True):
            emission = trace[name]["fn"]
            if name in structure.indexed or structure.panel or not is_own(emission):
                value = as_observed(jnp.asarray(model.data[name]), name, structure)
                value = value if jnp.issubdtype(value.dtype, jnp.integer) else value.astype(float)
                completed = complete(emission, site_key, value)
                filled[name] = as_observed(completed, name, structure)
                continue
            emission = _rowwise(emission)
            more = (known[name],) if name in known else ()
            gaps = _gaps(model.data[name], emission)
            filled[name] = emission.complete(site_key, gaps, *more)
        return filled

    return in_batches(one, (keys, values), ABREAST)


@partial(jax.jit, static_argnames=("structure", "windows"))
def _fill_best(
    model: Model, values: Globals, *, structure: Structure, windows: Windows
) -> dict[str, Array]:
    """The most probable completion of every row, with its cluster."""
    known = dict(windows)

    def of_cluster(held: Globals, cluster: Array | None) -> tuple[dict[str, Array], Array]:
        trace = model.trace_at(held, structure, assignment=cluster)
        filled, score = {}, jnp.zeros(structure.rows)
        for name in structure.emissions:
            emission = _rowwise(trace[name]["fn"], structure.rows)
            if not emission.fills_in:
                raise InputError(
                    f"cells of {type(emission).__name__} have no most probable filling here: "
                    "leave most_probable out"
                )
            more = (known[name],) if name in known else ()
            filled[name] = emission.most_probable(_gaps(model.data[name], emission), *more)
            score = score + emission.log_prob(filled[name])
        return filled, score

    def one(held: Globals) -> dict[str, Array]:
        if structure.assignment is None:
            return of_cluster(held, None)[0]
        log_weights = model.pieces(held, structure).log_weights
        clusters = jnp.arange(structure.clusters)
        filled, score = jax.lax.map(lambda k: of_cluster(held, k), clusters)
        best = model.possible(score + log_weights).argmax(0)
        rows = jnp.arange(structure.rows)
        return {n: v[best, rows] for n, v in filled.items()}

    return jax.lax.map(one, values) if values else jax.tree.map(lambda v: v[None], one({}))


def _rowwise(distribution: Any, rows: int | None = None) -> Any:
    """The emission as a family with one component per row."""
    family = as_family(distribution)
    if family is None and (emission := as_autoregressive(distribution)) is not None:
        return emission  # one for all rows
    if family is None:
        raise InputError(
            f"cells of {type(unwrap(distribution)).__name__} have no most probable filling here: "
            "leave most_probable out"
        )
    if family.completes_all_rows and math.prod(family.batch_shape) == 1:
        return family
    rows = distribution.batch_shape[-1] if rows is None else rows
    arguments = {}
    for name, dims in family.parameter_dims.items():
        parameter = jnp.asarray(getattr(family, name))
        event = parameter.shape[parameter.ndim - dims :]
        if name not in family.shared_parameters:
            parameter = jnp.broadcast_to(parameter, (rows, *event))
        arguments[name] = parameter
    return family.replace(**arguments)


def _gaps(value: Any, family: Any) -> Array:
    """Data as ``complete`` takes them: floating-point, unless a code marks missing cells."""
    array = jnp.asarray(value)
    if family.event_dim and getattr(family, "positions", None):
        return array
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)
