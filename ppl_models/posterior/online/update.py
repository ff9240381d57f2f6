"""More rows for a fit: their expected statistics are added to those of the rows before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ppl_models.data.blocks.source import Blocks, in_blocks, open_blocks
from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.inference.em.blocks import block_rows_of
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.running import (
    check_exponent,
)
from ppl_models.posterior.build.from_blocks import of_sample, refuse_program
from ppl_models.posterior.build.running import STATISTICS
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.labels.names import name_clusters
from ppl_models.posterior.online.online_em import OnlineEM
from ppl_models.posterior.online.reservoir import Piece, Reservoir
from ppl_models.posterior.result.names import given_names
from ppl_models.posterior.result.restore import (
    RestoredFit,
    new_rows,
    precision_of,
    restore,
)
from ppl_models.posterior.result.schema import SUMMARY, facts_of, weights_and_labels
from ppl_models.program.block_rows import SEED_ROWS, summary_of
from ppl_models.program.runtime.keys import fold_in, make_key
from ppl_models.program.runtime.precision import cast

#: attributes that are written anew
ANEW = ("facts", "notes", "versions", "wall_time_seconds")


def update(
    tree: xr.DataTree,
    more_rows: Any,
    *,
    iterations: int = 10,
    exponent: float = 1.0,
    predictive: int = 0,
    seed: int = 0,
) -> xr.DataTree:
    """Go on from a fit with more rows, by adding their expected statistics.

    Rows are processed in pieces. For each piece, EM steps are repeated until convergence: the
    E-step computes the piece's expected statistics at the current parameters, and the M-step
    maximises by the sum of these and the statistics of all earlier rows. One piece at a time is in
    memory, and a source is read once.

    Without latent variables (one cluster, say) the result is exactly that of `fit` on all rows with
    the same priors. Otherwise earlier rows keep the responsibilities that they had when they were
    seen: a step of the incremental EM of Neal and Hinton (1998) in which each piece is visited
    once, and with many pieces the online EM of Cappé and Moulines (2009), whose limit, as rows come
    in without end, is a stationary point of the expected log-likelihood. To come to the mode of
    given rows to all digits, fit them together, from a file if they do not fit memory.

    Default priors that look at the data stay those of the first fit.

    Args:
        tree: a fit by "em", "hard" or "stochastic_em" to rows that statistics sum up, in memory or
            in blocks; or what this function returned.
        more_rows: rows in any container that `fit` takes: a path, ``open_blocks(...)``, an
            array, a data frame, or an iterator of these.
        iterations: maximum number of EM steps per piece.
        exponent: with 1, all rows have the same weight. Between 0.5 and 1, the t-th piece has at
            least the weight t^-exponent, so that old rows are forgotten: for streams that drift,
            and after a first fit to few rows.
        predictive: draws of predictive data that are kept.
        seed: of the sample of rows that the tree holds, and of predictive draws.

    Returns:
        A new tree: a point, statistics of all rows (the group ``statistics``) and a sample of up to
        10,000 of them in ``observed_data``. ``lp`` is the sum of the rows' log-densities as they
        were seen, and of the log prior density.

    Raises:
        InputError: rows that do not fit the tree's, options out of range.
        UnsupportedError: a fit by draws, or of a program whose rows no statistics sum up.

    >>> from ppl_models import fit
    >>> rows = np.random.default_rng(0).poisson([[2.0], [30.0]], (2, 300))
    >>> tree = fit("poisson_mixture", rows[:, :100].ravel(), method="em", seed=0, clusters=2)
    >>> tree = update(tree, [rows[:, 100:200].ravel(), rows[:, 200:].ravel()].__iter__())
    >>> tree["statistics"].attrs["rows"], tree["posterior"]["rate"].values.round().ravel().tolist()
    (600, [30.0, 2.0])
    """
    whole_number("iterations", iterations)
    whole_number("predictive", predictive, minimum=0)
    whole_number("seed", seed, minimum=0)
    check_exponent(exponent)
    _refuse(tree)
    with precision_of(tree):
        known = _with_summary(tree)
        fitted = restore(known)
        refuse_program(fitted.problem)
        state = OnlineEM.begun(fitted, exponent, iterations)
        sample = Reservoir(fitted.observed, state.running.rows, seed)
        for piece in _pieces(more_rows, fitted):
            sample.add(piece)
            state.add(piece.values)
        if state.running.rows == sample.begun:
            raise InputError("there are no rows to update with: the source is empty")
        return _tree(known, fitted, state, sample.observed(), predictive, seed)


def _refuse(tree: xr.DataTree) -> None:
    """Refuse fits without running statistics."""
    facts_of(tree)
    method = str(tree.attrs["method"])
    if not declaration(method).updates:
        those = ", ".join(methods_that(lambda each: each.updates))
        raise UnsupportedError(
            f"the tree is a fit by method={method!r}, which keeps no statistics that rows could be "
            f"added to: use one of {those}, or fit all rows together"
        )
    for name, value in zip(("weights", "labels"), weights_and_labels(tree), strict=True):
        if value is not None:
            raise UnsupportedError(
                f"the tree was fitted with {name}=, and more rows have none: fit all rows together"
            )


def _with_summary(tree: xr.DataTree) -> xr.DataTree:
    """The tree with the data summary of the first fit, which keeps the priors unchanged."""
    if SUMMARY in tree.attrs:
        if STATISTICS not in tree.children:
            raise UnsupportedError(
                "the components of this fit lie so far apart that no statistics are kept of it in "
                "single precision: fit with precision='float64'"
            )
        return tree
    observed = tree["observed_data"].dataset
    if len(observed.data_vars) != 1:
        raise UnsupportedError(
            f"the program emits {', '.join(map(str, observed.data_vars))}, and rows can be added "
            "to fits of one site: fit all rows together"
        )
    (values,) = observed.data_vars.values()
    if values.dims[0] != "row" or values.ndim > 2:
        raise UnsupportedError(
            f"the data are {values.dims[0]}s of {' and '.join(map(str, values.dims[1:]))}, and "
            "single rows can be added to a fit: fit all of them together"
        )
    known = tree.copy()
    known.attrs[SUMMARY] = summary_of(np.asarray(values)).to_text()
    return known


def _pieces(more_rows: Any, fitted: RestoredFit) -> Iterator[Piece]:
    """More rows, piece by piece, each no larger than a block."""
    (site,) = fitted.problem.families
    if isinstance(more_rows, Mapping) and set(more_rows) == {site}:
        more_rows = more_rows[site]
    if isinstance(more_rows, Iterator):
        blocks: Any = more_rows
    elif isinstance(more_rows, Blocks) or in_blocks(more_rows):
        blocks = open_blocks(more_rows)
    else:
        blocks = [more_rows]
    shape = fitted.observed[site].values.shape[1:]
    most = block_rows_of(fitted.problem, SEED_ROWS)
    for block in blocks:
        if not len(block):
            continue
        read = new_rows(fitted.tree, {site: block})[site]
        values = cast(read.values, fitted.tree.attrs["precision"])
        if values.shape[1:] != shape:
            raise InputError(f"rows of shape {values.shape[1:]} are given, and the fit has {shape}")
        labels = np.asarray(read.coords.get("row", np.arange(len(values))))
        for first in range(0, len(values), most):
            yield Piece(values[first : first + most], labels[first : first + most])


def _tree(
    known: xr.DataTree,
    fitted: RestoredFit,
    state: OnlineEM,
    observed: dict[str, Observed],
    predictive: int,
    seed: int,
) -> xr.DataTree:
    """The tree of the new point."""
    ((site, rows),) = observed.items()
    data = {**fitted.model.data, site: cast(rows.values, known.attrs["precision"])}
    model = fitted.model.with_data(data)
    problem = Problem(
        model, replace(fitted.structure, rows=len(rows.values)), known_row_order=False
    )
    result = Result(
        {n: v[None, None] for n, v in state.values.items()},
        declaration(known.attrs["method"]),
        {"lp": np.full((1, 1), state.log_joint)},
        notes=[_note(state, len(rows.values))],
        objective=fitted.facts.objective,
    )
    attributes = {str(n): v for n, v in known.attrs.items() if n not in ANEW}
    tree = build_tree(problem, result, observed, fold_in(make_key(seed), 1), attributes, predictive)
    names = given_names(known)
    tree = of_sample(tree, state.running)
    return tree if names is None else name_clusters(tree, names)


def _note(state: OnlineEM, held: int) -> str:
    seen = state.running
    return (
        f"fitted to {seen.rows:,} rows that came in {seen.pieces:,} pieces, each passed over once; "
        f"observed_data holds a sample of {held:,}; lp has the log-density of each row as it was "
        "when it was seen"
    )
