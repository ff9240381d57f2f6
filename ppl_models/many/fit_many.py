"""Fitting a program to many data sets: one DataTree of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from jax import random

from ppl_models import catalogue
from ppl_models.data.missing import has_missing
from ppl_models.data.progress import progress_bar
from ppl_models.errors import InputError, whole_number
from ppl_models.evaluation.candidates import parameter_count
from ppl_models.inference.method import declaration
from ppl_models.inference.result import Result
from ppl_models.many.alone import fitted_alone
from ppl_models.many.outcome import Outcome
from ppl_models.many.request import Request
from ppl_models.many.side_by_side import (
    fitted_side_by_side,
    healthy,
    template,
    template_places,
    why_not,
)
from ppl_models.many.split import split
from ppl_models.many.tree import many_tree
from ppl_models.posterior.build.tree import build_tree
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.arguments.signature import defaults
from ppl_models.program.arguments.signature import split as split_arguments
from ppl_models.program.arguments.sizes import whole_arguments
from ppl_models.program.reading import given_arguments, read_data, take_vocabulary
from ppl_models.program.runtime.compiling import make_room
from ppl_models.program.runtime.precision import scope


def fit_many(
    program: str | Callable,
    data: Any,
    by: Any = None,
    *,
    method: str = "em",
    seed: int,
    columns: bool = False,
    criterion: str = "bic",
    precision: str = "float64",
    fixed: Mapping[str, Any] | None = None,
    progress: bool = False,
    **arguments: Any,
) -> xr.DataTree:
    """Fit a program to each of many data sets, thousands of them in one compiled run.

    See `fit`, which each group is fitted as.

    Every group is fitted as ``fit`` fits it alone: its priors are set by its own data. Programs
    whose rows sufficient statistics sum up (all built-in mixtures, and those like them) run side by
    side by "em", "hard" and "gibbs", padded to a few lengths; all others, and all other methods,
    one group after another. EM takes every start to its end, without ``fit``'s split–merge moves.

    Args:
        program: as of ``fit``.
        data: a data frame with a column of labels, an AnnData (labels in ``obs``), a dict of data
            by label, a list of arrays, or a table whose columns are the data sets.
        by: name of the column of labels, or the labels themselves ``(row,)``.
        method: name of the method.
        seed: of all random numbers; those of a group do not depend on the others.
        columns: whether every column of ``data`` is a data set of its own; NaN is no row of it.
        criterion: "bic", by which each group's number of clusters is chosen where ``clusters``
            has several: -2 log L + p log n of maximum likelihood, less is better.
        precision: "float64" or "float32".
        fixed: global site -> value that it is held at in all groups.
        progress: show progress bars.
        **arguments: the program's and the method's own, each by its name.

    Returns:
        A tree with a dimension ``group``, see ``ppl_models.many.tree``; ``tree["groups"]`` is a
        table of the groups, with the reason where one failed. ``group(tree, label)`` is the fit of
        one; ``predict``, ``log_density``, ``generate``, ``loo`` and ``diagnose`` take the tree.

    Raises:
        InputError: data that are no groups, or what no group can be fitted with.

    >>> data = {"a": [1, 2, 30, 28], "b": [3, 2, 1, 40, 41]}
    >>> tree = fit_many("poisson_mixture", data, method="em", seed=0, clusters=2, starts=4)
    >>> tree["posterior"]["rate"].sel(group="b").values.round(0).ravel().tolist()
    [2.0, 39.0]
    """
    started = time.perf_counter()
    function = catalogue.program(program)
    run = getattr(catalogue.method(method), method)
    candidates = _candidates(arguments)
    if candidates and criterion != "bic":
        raise InputError(f"criterion is {criterion!r}: the number of clusters is chosen by 'bic'")
    if candidates:
        arguments = {**arguments, "clusters": candidates[-1]}
    program_arguments, options = split_arguments(function, run, arguments, method)
    options = defaults(run) | whole_arguments(run, options)
    whole_number("seed", seed, minimum=0)
    program_arguments, like = take_vocabulary(program_arguments)
    parts = split(data, by, columns=columns)
    make_room()
    with scope(precision):
        observed = read_data(function, parts.data, like, arguments=program_arguments)
        order = np.argsort(parts.group, kind="stable")
        ends = np.searchsorted(parts.group[order], np.arange(1, len(parts.labels)))
        rows = np.split(order, ends)
        request = Request(
            function,
            observed,
            rows,
            program_arguments,
            _wholly(fixed or {}),
            precision,
            method,
            run,
            options,
            seed,
            progress,
        )
        every = np.arange(len(rows))
        chosen = _chosen(request, candidates) if candidates else None
        if chosen is None:
            outcomes = _outcomes(request, every)
        else:
            outcomes = {}
            for clusters in np.unique(chosen):
                own = request.with_clusters(int(clusters))
                outcomes |= _outcomes(own, np.flatnonzero(chosen == clusters))
        in_order = [outcomes[int(g)] for g in every]
        return _built(request, parts.labels, in_order, arguments, started)


def _candidates(arguments: Mapping[str, Any]) -> list[int]:
    """Numbers of clusters to choose from; none where one is given."""
    clusters = arguments.get("clusters")
    if not isinstance(clusters, Iterable) or isinstance(clusters, str):
        return []
    numbers = sorted({whole_number("a number of clusters", k) for k in clusters})
    if not numbers:
        raise InputError("clusters is empty: give numbers of clusters from 1 up")
    return numbers


def _outcomes(request: Request, groups: np.ndarray) -> dict[int, Outcome]:
    """Outcomes of some of the groups, by number.

    Raises:
        InputError: a program that cannot be read on rows of all groups, so that no tree holds them.
    """
    outcomes: dict[int, Outcome] = {}
    problem = replace(template(request), progress=request.progress)
    sound = groups[healthy(request, problem)[groups]]
    if len(sound) and why_not(request, problem, sound.tolist()) is None:
        outcomes |= fitted_side_by_side(request, problem, sound)
    left = [int(g) for g in groups if int(g) not in outcomes]
    with progress_bar(len(left), "groups one by one", request.progress and bool(left)) as bar:
        for number in left:
            outcomes[number] = fitted_alone(request, number)
            bar.update(1)
    return outcomes


def _chosen(request: Request, candidates: list[int]) -> np.ndarray:
    """The number of clusters of every group with the least BIC of maximum likelihood."""
    em = catalogue.method("em")
    names = defaults(em.em)
    options = names | {n: v for n, v in request.options.items() if n in ("iterations",)}
    options |= {"priors": "flat", "starts": request.options.get("starts") or names["starts"]}
    count = len(request.rows)
    least = np.full(count, np.inf)
    chosen = np.full(count, candidates[0])
    for clusters in candidates:
        search = replace(request, method="em", run=em.em, options=options)
        search = search.with_clusters(clusters)
        outcomes = _outcomes(search, np.arange(count))
        parameters = parameter_count(template(search))
        for number in range(count):
            each = outcomes[number]
            if each.failure or each.facts.get("collapsed", False):
                continue
            assert each.lp is not None
            bic = -2 * float(each.lp[0, 0]) + parameters * np.log(len(request.rows[number]))
            if bic < least[number]:
                least[number], chosen[number] = bic, clusters
    return chosen


def _built(
    request: Request,
    labels: np.ndarray,
    outcomes: list[Outcome],
    arguments: Mapping[str, Any],
    started: float,
) -> xr.DataTree:
    good = [g for g, each in enumerate(outcomes) if not each.failure]
    if not good:
        raise InputError(
            f"no group could be fitted; the first, {labels[0]!r}: {outcomes[0].failure}"
        )
    largest = max(good, key=lambda g: outcomes[g].clusters)
    own = request
    if outcomes[largest].clusters and "clusters" in request.arguments:
        components = request.problem(template_places(request))[0].structure.clusters
        beyond = components - int(request.arguments["clusters"])  # a component of noise
        own = request.with_clusters(outcomes[largest].clusters - beyond)
    like = like_tree(own, outcomes[largest])
    method = declaration(request.method)
    attributes = {
        "method": request.method,
        "seed": request.seed,
        "precision": request.precision,
        "kind": method.kind,
        "fixed": to_json(dict(request.fixed)),
        "configuration": to_json(dict(request.options)),
        "fit_options": to_json({"names": list(arguments), "predictive": 0, "relabel": "ecr"}),
        "wall_time_seconds": time.perf_counter() - started,
    }
    return many_tree(like, request.observed, request.rows, labels, outcomes, attributes)


def like_tree(request: Request, outcome: Outcome) -> xr.DataTree:
    """A fit with the axes of all groups' fits."""
    problem, observed = request.problem(template_places(request))
    result = Result(outcome.values, declaration(request.method), {})
    arguments = given_arguments(request.function, problem.model.arguments)
    attributes = {
        "program": catalogue.program_name(request.function),
        "arguments": to_json(arguments),
    }
    return build_tree(problem, result, observed, random.key(0), attributes, 0)


def _wholly(fixed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse sites of which some entries are held: groups are fitted side by side in closed form.

    Raises:
        InputError: which site.
    """
    for name, value in fixed.items():
        if has_missing(np.asarray(value, float)):
            raise InputError(
                f"fixed holds only some entries of '{name}', which fit supports and fit_many does "
                "not: fit each group by itself"
            )
    return fixed
