"""Leave-one-out comparison of fits, with refits where importance sampling fails.

PSIS-LOO is ArviZ's. Rows with a large Pareto k are moment-matched by the density of the program
(Paananen et al. 2021); rows whose k stays large can be scored by refitting without their fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jax import Array
from jax.scipy.special import logsumexp
from scipy.special import logsumexp as scipy_logsumexp

from ppl_models import memory
from ppl_models.catalogue import program
from ppl_models.data.containers.vocabulary import Vocabulary
from ppl_models.data.kinds import Graphs, Kind, Observed, Tokens
from ppl_models.data.kinds.several import own_labels
from ppl_models.data.kinds.tokens import UNKNOWN
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.evaluation.left_out import scores_of_fold
from ppl_models.fitting import fit
from ppl_models.posterior.density.prediction import log_density
from ppl_models.posterior.labels.allocations import require_draws
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.posterior.result.schema import refuse_sample, row_labels, row_weights
from ppl_models.posterior.result.stored_data import fitted_data
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.log_joint import unconstrained_log_joints
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure

FOLDS = 10


def loo(tree: xr.DataTree, *, mend: bool = True, refit: bool = False) -> Any:
    """PSIS-LOO of a fit; rows with a large Pareto k can be refitted.

    Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-
    validation and WAIC; moment matching is that of Paananen, Piironen, Bürkner and Vehtari (2021).

    Args:
        tree: a fit by a method that draws.
        mend: moment-match rows with a large Pareto k.
        refit: score rows whose Pareto k stays large by fits without their fold.

    Returns:
        ArviZ's ``ELPDData``, pointwise. In a fit with ``weights`` the sums count every row by its
        weight, and a pointwise value leaves out one copy of the row.

    Raises:
        InputError: a point, which has no posterior; a fit whose draws contain the data themselves;
            or data that cannot be refitted.

    >>> from ppl_models import fit
    >>> tree = fit("markov_chain", ["ab", "ba"] * 5, method="exact", seed=0, draws=200,
    ...            predictive=0)
    >>> int(loo(tree).n_data_points)
    10
    """
    require_draws(tree, "leaving rows out of the posterior")
    refuse_sample(tree, "leaving rows out of the posterior")
    if "log_likelihood" not in tree.children:
        raise InputError(
            f"draws of {tree.attrs.get('program')} by method='{tree.attrs.get('method')}' contain "
            "the fitted sequences, so that none can be left out: compare log_density of held-out "
            "sequences"
        )
    site = tree.attrs["data_site"]
    if tree["log_likelihood"][site].shape[-1] == 1:
        raise UnsupportedError(
            f"the data of {tree.attrs.get('program')} are one exchangeable unit, so that no row "
            "can be left out: compare log_density of held-out data"
        )
    elpd = az.loo(tree, pointwise=True, var_name=site)
    if mend and _bad(elpd).any():
        elpd = _moment_match(tree, elpd, site)
    if refit and _bad(elpd).any():
        elpd = _refit(tree, elpd, _bad(elpd))
    weights = row_weights(tree)
    return elpd if weights is None else _weighted(tree, elpd, weights, site)


def _weighted(tree: xr.DataTree, elpd: Any, weights: np.ndarray, site: str) -> Any:
    """The ELPD with sums over weighted rows; a pointwise value leaves out one copy of a row.

    All copies of a row have the same density, so that one value serves for each of them.
    """
    count = weights.sum()
    each = np.asarray(elpd.elpd_i.values, float)
    mean = weights @ each / count
    density = tree["log_likelihood"][site].transpose("chain", "draw", ...).values
    draws = density.reshape(-1, density.shape[-1])
    elpd.elpd = float(weights @ each)
    # √(N var) for N rows, as in ArviZ
    elpd.se = float(np.sqrt(count / max(count - 1, 1) * (weights @ (each - mean) ** 2)))
    elpd.p = float(weights @ (scipy_logsumexp(draws, axis=0) - np.log(len(draws)))) - elpd.elpd
    elpd.n_data_points = int(count) if count == np.floor(count) else float(count)
    return elpd


def compare_draws(
    fits: Mapping[str, xr.DataTree], names: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """ArviZ's comparison of several fits, with the arguments of each.

    Args:
        fits: label -> fit.
        names: label -> varied arguments.

    Returns:
        The table, best first: rank, elpd, p, elpd_diff, dse, weight (stacking), ``bad_k`` (rows
        whose Pareto k stays too large) and the varied arguments.
    """
    scored = {label: loo(tree) for label, tree in fits.items()}
    table = az.compare(_written_out(fits, scored), round_to="none")
    table.insert(0, "bad_k", [int(_bad(scored[label]).sum()) for label in table.index])
    for name in next(iter(names.values())):
        table.insert(0, name, [names[label][name] for label in table.index])
    table.attrs["best"] = dict(names[table.index[0]])
    table.attrs["criterion"] = "loo"
    return table


def _written_out(fits: Mapping[str, xr.DataTree], scored: Mapping[str, Any]) -> dict[str, Any]:
    """The ELPDs with every row's pointwise value repeated as often as its weight."""
    elpd_by_fit = {}
    for label, elpd in scored.items():
        weights = row_weights(fits[label])
        if weights is not None:
            if (weights != np.floor(weights)).any() or weights.sum() > memory.REPEATED_ROWS:
                raise UnsupportedError(
                    "fits are compared row by row, with rows repeated by their weights, and these "
                    "weights are not whole numbers or sum to more than "
                    f"{memory.REPEATED_ROWS:,}: compare loo(tree).elpd of each"
                )
            rows = np.repeat(np.arange(len(weights)), weights.astype(int))
            elpd = copy(elpd)
            (dim,) = elpd.elpd_i.dims
            elpd.elpd_i = xr.DataArray(elpd.elpd_i.values[rows], dims=(dim,))
            elpd.pareto_k = xr.DataArray(elpd.pareto_k.values[rows], dims=(dim,))
        elpd_by_fit[label] = elpd
    return elpd_by_fit


def _bad(elpd: Any) -> np.ndarray:
    return np.asarray(elpd.pareto_k.values > elpd.good_k)


def _moment_match(tree: xr.DataTree, elpd: Any, site: str) -> Any:
    with scope(tree.attrs["precision"]):
        restored = restore(tree)
        model, structure = restored.problem.model, restored.problem.structure
        # of many draws or rows, a fit stores the log-densities of some draws only
        places = np.arange(restored.samples).reshape(restored.shape)
        chosen = places[:, np.asarray(tree["log_likelihood"]["draw"])]
        shape, chosen = chosen.shape, chosen.ravel()
        values = {n: jnp.asarray(v[chosen]) for n, v in restored.values.items()}
        free = _unconstrained(model, values, structure=structure)
        draws = xr.DataArray(
            np.asarray(free).reshape(*shape, -1), dims=("chain", "draw", "coordinate")
        )

        def joint(upars: xr.DataArray) -> xr.DataArray:
            return _apply(upars, partial(unconstrained_log_joints, model, structure=structure))

        def row(upars: xr.DataArray, index: int) -> xr.DataArray:
            if restored.problem.row_order:
                one, place, own = model, index, structure
            else:
                data = {n: np.asarray(v)[[index]] for n, v in model.data.items()}
                one, place, own = model.with_data(data), 0, replace(structure, rows=1)
            return _apply(upars, partial(_log_row, one, place, structure=own))

        return az.loo_moment_match(
            tree,
            elpd,
            log_prob_upars_fn=joint,
            log_lik_i_upars_fn=row,
            upars=draws,
            var_name=site,
            pointwise=True,
        )


@partial(jax.jit, static_argnames=("structure",))
def _unconstrained(model: Model, values: Globals, *, structure: Structure) -> Array:
    space = structure.space
    return jax.vmap(lambda v: space.ravel(space.unconstrain(v)))(values)


def _apply(upars: xr.DataArray, function: Any) -> xr.DataArray:
    ordered = upars.transpose("chain", "draw", ...)
    shape = ordered.shape[:2]
    values = np.asarray(function(ordered.values.reshape(-1, ordered.shape[-1])))
    return xr.DataArray(values.reshape(shape), dims=("chain", "draw"))


@partial(jax.jit, static_argnames=("structure",))
def _log_row(model: Model, place: Any, vectors: Array, *, structure: Structure) -> Array:
    def one(vector: Array) -> Array:
        values = structure.space.constrain(structure.space.unravel(vector))
        return logsumexp(model.logits(values, structure), axis=0)[place]

    return jax.lax.map(one, vectors)


def _refit(tree: xr.DataTree, elpd: Any, bad: np.ndarray) -> Any:
    """Replace the scores of bad rows by log-densities under fits without their fold."""
    if row_weights(tree) is not None:
        raise UnsupportedError(
            "refit= leaves out whole rows, but with weights one copy of a row is to be left out: "
            "call loo without refit"
        )
    if row_labels(tree) is not None:
        raise UnsupportedError(
            "refit= would leave out the labels= of the rows along with their data: call loo "
            "without refit"
        )
    with scope(tree.attrs["precision"]):
        restored = restore(tree)
        structure = restored.structure
        emitted = {*structure.emissions, *structure.sources}
        # index arrays and other covariates refer to rows that a part of the data lacks
        by_row_order = restored.problem.row_order or set(restored.model.data) - emitted
        if by_row_order and structure.chain is None:
            return _refit_whole(tree, restored, elpd, bad)
    data = fitted_data(tree)
    if structure.chain is not None:
        unit = (structure.chain.unit,)
        misplaced = next((n for n, o in data.items() if o.dims[:1] != unit), None)
        if misplaced is not None:
            raise UnsupportedError(
                f"refit= leaves out whole series ('{unit[0]}'), which are not the "
                f"first axis of '{misplaced}': call loo without refit"
            )
    folds = np.arange(len(next(iter(data.values())).values)) % FOLDS
    configuration = from_json(tree.attrs["configuration"])
    arguments = from_json(tree.attrs["arguments"])
    for fold in np.unique(folds[bad]):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero((folds == fold) & bad)
        other = fit(
            tree.attrs["program"],
            _containers(tree, data, inside),
            method=tree.attrs["method"],
            seed=int(tree.attrs["seed"]) + 1,
            precision=tree.attrs["precision"],
            predictive=0,
            relabel=None,
            **{**arguments, **configuration, **_vocabulary(tree)},
        )
        scores = log_density(other, _containers(tree, data, outside)).values
        elpd.elpd_i.values[outside] = scores
        elpd.pareto_k.values[outside] = 0.0
    return _summed(elpd)


def _refit_whole(tree: xr.DataTree, restored: RestoredFit, elpd: Any, bad: np.ndarray) -> Any:
    """`_refit` of programs whose rows cannot be sliced: the fold's cells are marked missing."""
    folds = np.arange(restored.structure.rows) % FOLDS
    configuration = from_json(tree.attrs["configuration"])
    key = jax.random.key(int(tree.attrs["seed"]) + 1)
    for fold in np.unique(folds[bad]):
        rows = np.flatnonzero(folds == fold)
        part_key = jax.random.fold_in(key, fold)
        scores = scores_of_fold(
            restored.problem, rows, tree.attrs["method"], configuration, part_key
        )
        elpd.elpd_i.values[rows[bad[rows]]] = scores[bad[rows]]
        elpd.pareto_k.values[rows[bad[rows]]] = 0.0
    return _summed(elpd)


def _summed(elpd: Any) -> Any:
    elpd.elpd = float(elpd.elpd_i.sum())
    elpd.se = float(np.sqrt(elpd.elpd_i.size * elpd.elpd_i.values.var()))
    return elpd


def _vocabulary(tree: xr.DataTree) -> dict[str, Vocabulary]:
    """The vocabulary of the fit, since a fold may lack some tokens."""
    labels = from_json(tree.attrs["coordinate_labels"])
    if not issubclass(_kind(tree), Tokens):
        return {}
    unknown = labels.get(UNKNOWN, [None])
    return {"vocabulary": Vocabulary(tuple(map(str, labels["token"])), unknown[0])}


def _kind(tree: xr.DataTree) -> type[Kind]:
    return next(iter(data_parameters(program(tree.attrs["program"])).values()))


def _containers(tree: xr.DataTree, data: Mapping[str, Observed], rows: np.ndarray) -> Any:
    """Rows in containers that ``fit`` reads with the same column names."""
    labels = from_json(tree.attrs["coordinate_labels"])
    if issubclass(_kind(tree), Tokens):
        (reading,) = data.values()
        tokens = np.array([*map(str, labels["token"]), None], dtype=object)  # -1 is unknown
        ends = (reading.values != len(tokens) - 1).sum(1)
        return [tokens[reading.values[row, : ends[row]]].tolist() for row in rows]
    if issubclass(_kind(tree), Graphs):
        raise InputError(
            "the arrays of graphs are as wide as the largest graph, which a fold may lack: call "
            "loo without refit"
        )
    containers: dict[str, Any] = {}
    for site, reading in data.items():
        values, names = reading.values[rows], own_labels(labels, site).get("feature", ())
        named = values.ndim == 2 and len(names) == values.shape[1]
        containers[site] = pd.DataFrame(values, columns=list(names)) if named else values
    return containers
