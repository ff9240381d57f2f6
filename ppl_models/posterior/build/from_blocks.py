"""Fits to rows that are read in blocks: the method passes over all, the tree holds a sample.

Assignments and densities of single rows are in no such tree: ``predict_to`` writes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import random

from ppl_models.data.blocks.source import Blocks
from ppl_models.data.derived import derived_arguments
from ppl_models.data.summary import knowing
from ppl_models.errors import UnsupportedError
from ppl_models.inference.capabilities import require
from ppl_models.inference.em.blocks import statistics_of_blocks
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.chunks import cut
from ppl_models.inference.statistics.e_step import hard, soft
from ppl_models.inference.suitability import refuse_priors, refuse_unresolved, refuse_unsuitable
from ppl_models.posterior.build.running import STATISTICS, RunningStatistics
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.result.schema import SUMMARY
from ppl_models.posterior.result.stored_data import along_axes
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.block_rows import RowBlocks, read_blocks
from ppl_models.program.reading import read_program
from ppl_models.program.runtime.keys import make_key

SAMPLE = "fit a sample in memory: fit(program, blocks.sample(10000, seed=0), ...)"


def fit_blocks(
    function: Callable,
    blocks: Blocks,
    run: Callable,
    method: str,
    *,
    seed: int,
    precision: str,
    fixed: Mapping[str, Any],
    progress: bool,
    predictive: int,
    arguments: Mapping[str, Any],
    options: Mapping[str, Any],
    attributes: Callable[[Any, Any], dict[str, Any]],
    checkpointed: Callable[[Problem], Problem],
    relabelled: Callable[..., xr.DataTree],
) -> xr.DataTree:
    """Fit a program to rows in blocks; see ``fitting.fit``, within whose precision it is called.

    Args:
        function: the program.
        blocks: the rows.
        run: the method.
        method: its name.
        seed: of all random numbers.
        precision: of the numbers.
        fixed: global site -> value that it is held at.
        progress: show progress bars.
        predictive: predictive draws to keep.
        arguments: of the program.
        options: of the method.
        attributes: of the tree, from model and result.
        checkpointed: makes a problem one that keeps its states, where that is asked for.
        relabelled: undoes label switching, judged by the sample.

    Raises:
        UnsupportedError: a method or a program that needs all rows at once.
    """
    started = time.perf_counter()
    site = _refuse(function, method)
    key = random.key(seed)
    run_key = random.fold_in(key, 0)
    # (as `starting_values` splits it, so that starts are looked for among the same rows)
    rows, sample = read_blocks(function, blocks, site, precision, random.split(run_key, 3)[0])
    knowingly = knowing(function, rows.summary.to_text())
    observed = {site: sample}
    model, structure = read_program(knowingly, observed, dict(arguments), fixed, precision)
    observed = along_axes(observed, model, structure)
    problem = Problem(model, structure, progress, blocks=rows)
    refuse_program(problem)
    problem = _with_gaps(problem, rows)
    refuse_unsuitable(problem)
    refuse_priors(problem)
    require(method, problem)
    result = run(checkpointed(problem), run_key, **options)
    refuse_unresolved(problem, result, observed)
    count = len(sample.values)
    result.notes.append(
        f"fitted to {rows.summary.rows:,} rows in blocks, of which observed_data holds a sample "
        f"of {count:,}; densities and assignments of rows are not held: predict_to(tree, source, "
        "path) writes them"
    )
    arrays = {
        **attributes(model, result),
        SUMMARY: rows.summary.to_text(),
        "wall_time_seconds": time.perf_counter() - started,
    }
    tree = build_tree(problem, result, observed, random.fold_in(key, 1), arrays, predictive)
    tree = relabelled(tree, problem, result, observed)
    statistics = statistics_of(problem, result) if declaration(method).updates else None
    return of_sample(tree, statistics)


OF_ROWS = ("log_likelihood", "responsibilities")  #: groups that would be of the sample only


def of_sample(tree: xr.DataTree, statistics: RunningStatistics | None) -> xr.DataTree:
    """Tree of a sample of the rows, without the groups that would describe the sample alone.

    Args:
        tree: as it was built.
        statistics: of all rows, that `update` adds to.
    """
    groups = {n: d.to_dataset() for n, d in tree.children.items() if n not in OF_ROWS}
    if statistics is not None:
        groups[STATISTICS] = statistics.to_dataset()
    return xr.DataTree.from_dict(groups | {"/": xr.Dataset(attrs=tree.attrs)})


def statistics_of(problem: Problem, result: Result) -> RunningStatistics | None:
    """Expected statistics of all rows at the optimum; None where they add up with no others."""
    assert problem.blocks is not None
    values = {n: v[0, 0] for n, v in result.values.items()}
    assign = soft if result.assignments == "soft" else hard
    expectations = statistics_of_blocks(problem, values, assign)
    if expectations is None:
        return None
    centres = {n: np.asarray(v, np.float64) for n, v in problem.chunks.centres.items()}
    return RunningStatistics(expectations, centres, problem.blocks.summary.rows)


def refuse_blocks(method: str) -> None:
    """Refuse a method that needs all rows at once."""
    if not declaration(method).passes_over_blocks:
        those = ", ".join(methods_that(lambda each: each.passes_over_blocks))
        raise UnsupportedError(
            f"method {method!r} needs all rows in memory: read them (pandas.read_csv), "
            f"use one of {those}, or {SAMPLE}"
        )


def _refuse(function: Callable, method: str) -> str:
    """The program's data parameter, if there is one and the method passes over blocks."""
    refuse_blocks(method)
    sites = list(data_parameters(function))
    if len(sites) != 1:
        raise UnsupportedError(
            f"the program takes data {', '.join(sites)}, and blocks are of one: {SAMPLE}"
        )
    if derived_arguments(function):
        raise UnsupportedError(
            f"the program computes arguments from all of its data at once: {SAMPLE}"
        )
    return sites[0]


def refuse_program(problem: Problem) -> None:
    """Refuse programs whose rows are not independent, or whose priors depend on a block's rows."""
    structure = problem.structure
    if not problem.sums_rows_up or problem.latent or len(problem.families) != 1:
        why = "no statistics sum the rows of this program up"
    elif structure.computed or structure.indexed or structure.labelled or problem.scales:
        why = "this program's rows are not independent of what else it is told of each"
    elif problem.row_order:
        why = "the density of a row depends on its place or on other rows"
    else:
        _refuse_other_priors(problem)
        return
    raise UnsupportedError(f"{why}, so that they cannot be read in blocks: {SAMPLE}")


def _refuse_other_priors(problem: Problem) -> None:
    """Refuse priors that differ between blocks of rows."""
    structure = problem.structure
    values = structure.initial(make_key(0))
    different = []
    for part in (slice(None, None, 2), slice(1, None, 2)):
        data = {n: np.asarray(v)[part] for n, v in problem.model.data.items()}
        size = len(next(iter(data.values())))
        of_part = replace(structure, rows=size)
        different.append(float(problem.model.with_data(data).log_prior(values, of_part)))
    if not np.isclose(
        different[0], different[1], rtol=1e-6 if jnp.result_type(float) == jnp.float32 else 1e-11
    ):
        raise UnsupportedError(
            "a prior of the program depends on the rows that it sees, which are those of a block: "
            f"give the prior's parameters as arguments, or {SAMPLE}"
        )


def _with_gaps(problem: Problem, rows: RowBlocks) -> Problem:
    """The problem, its sample treated as having missing cells if any block has some."""
    chunks = problem.chunks
    if any(missing for _, missing in chunks.missing) == rows.summary.missing:
        return problem
    gaps = tuple((n, rows.summary.missing) for n, _ in chunks.missing)
    like = replace(chunks, missing=gaps)
    return replace(problem, prepared=cut(problem.model.data, problem.families, like=like))
