"""One group of a fit of many, as a fit of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from jax import random

from ppl_models import catalogue
from ppl_models.errors import InputError
from ppl_models.inference.em.driver import OBJECTIVES
from ppl_models.inference.method import Method, declaration
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.many.request import part_of
from ppl_models.many.tree import GROUP_INDEX
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.labels.allocations import Allocations
from ppl_models.posterior.labels.relabel import relabelled
from ppl_models.posterior.result.restore import RestoredFit, precision_of
from ppl_models.posterior.result.schema import FACTS, GROUP_FACTS, facts_of, parse_facts
from ppl_models.posterior.result.stored_data import along_axes, fitted_data
from ppl_models.program.arguments.json_text import from_json, to_json
from ppl_models.program.reading import read_program


def is_many(tree: xr.DataTree) -> bool:
    """Whether a tree holds the fits of many groups."""
    return GROUP_FACTS in tree.attrs


def place_of(tree: xr.DataTree, label: Any) -> int:
    """The number of a group.

    Raises:
        InputError: no such group, or one that failed.
    """
    table = tree["groups"].to_dataset()
    places = np.flatnonzero(table["group"].values == label)
    if not len(places):
        known = ", ".join(map(str, table["group"].values[:5]))
        raise InputError(f"there is no group {label!r}: there are {known}, ...")
    place = int(places[0])
    if not table["fitted"].values[place]:
        raise InputError(f"group {label!r} has no fit: {table['failure'].values[place]}")
    return place


def rows_of(tree: xr.DataTree, place: int) -> np.ndarray:
    """Places of a group's rows."""
    return np.flatnonzero(tree["observed_data"][GROUP_INDEX].values == place)


def group(tree: xr.DataTree, label: Any, *, predictive: int = 100) -> xr.DataTree:
    """One group's fit, on which everything works as on that of ``fit``.

    See `fit_many`.

    Args:
        tree: what ``fit_many`` returned.
        label: of the group.
        predictive: draws of prior and posterior predictive data that are made.

    Raises:
        InputError: no such group, or one that failed.

    >>> from ppl_models import fit_many, predict
    >>> data = {"a": [1, 2, 30, 28], "b": [3, 2, 1, 40, 41]}
    >>> tree = fit_many("poisson_mixture", data, method="em", seed=0, clusters=2, starts=4)
    >>> predict(group(tree, "b"), [2, 39]).values.round(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if not is_many(tree):
        raise InputError("this tree is no fit of many groups: give what fit_many returned")
    place = place_of(tree, label)
    table = tree["groups"].to_dataset()
    with precision_of(tree):
        rows = rows_of(tree, place)
        every = fitted_data(tree)
        observed = {n: part_of(o, rows) for n, o in every.items()}
        arguments = from_json(tree.attrs["arguments"])
        clusters = int(table["clusters"].values[place])
        if clusters and "clusters" in arguments:
            # (beside a component of noise there is one cluster less than components)
            arguments["clusters"] += clusters - int(tree.attrs["clusters"])
        model, structure = read_program(
            catalogue.program(tree.attrs["program"]),
            observed,
            arguments,
            from_json(tree.attrs["fixed"]),
            tree.attrs["precision"],
        )
        observed = along_axes(observed, model, structure)
        problem = Problem(model, structure)
        result = _result(tree, problem, place)
        copied = (
            "program",
            "method",
            "seed",
            "precision",
            "kind",
            "fixed",
            "configuration",
            "fit_options",
        )
        attributes = {n: tree.attrs[n] for n in copied if n in tree.attrs}
        attributes |= {
            "arguments": to_json(arguments),
            "wall_time_seconds": tree.attrs["wall_time_seconds"],
            "group": str(label),
        }
        key = random.fold_in(random.key(int(tree.attrs["seed"])), place)
        one = build_tree(problem, result, observed, key, attributes, predictive)
        if result.kind == "draws" and facts_of(one).components:
            fitted = RestoredFit.of_result(one, problem, result, observed)
            seed = int(tree.attrs["seed"])
            return relabelled(Allocations(one, fitted=fitted), "ecr", seed=seed)
        return one


def as_fitted(tree: xr.DataTree, label: Any) -> xr.DataTree:
    """A group's draws, data and log-densities as a fit of its own, nothing computed anew.

    Args:
        tree: what ``fit_many`` returned.
        label: of the group.
    """
    place = place_of(tree, label)
    table = tree["groups"].to_dataset()
    clusters = int(table["clusters"].values[place])
    if clusters != int(tree.attrs["clusters"]):
        return group(tree, label, predictive=0)
    rows, plate = rows_of(tree, place), tree.attrs["plate"]
    groups = {}
    for name, node in tree.children.items():
        dataset = node.to_dataset()
        if name in ("posterior", "sample_stats"):
            groups[name] = dataset.isel(group=place, drop=True)
        elif name != "groups":
            groups[name] = dataset.isel({plate: rows}).drop_vars(GROUP_INDEX)
    one = xr.DataTree.from_dict(groups)
    one.attrs = {n: v for n, v in tree.attrs.items() if n not in (GROUP_FACTS, "notes")}
    one.attrs |= {FACTS: tree.attrs[GROUP_FACTS], "group": str(label), "notes": '{"notes": []}'}
    return one


def _result(tree: xr.DataTree, problem: Problem, place: int) -> Result:
    """What the method found of a group."""
    posterior = tree["posterior"].to_dataset().isel(group=place)
    values = {}
    for site in problem.structure.sites:
        value = posterior[site.name].transpose("chain", "draw", ...).values
        inner = tuple(slice(0, n) for n in site.shape)
        values[site.name] = np.ascontiguousarray(value[(slice(None), slice(None), *inner)])
    facts = parse_facts(tree.attrs[GROUP_FACTS])
    method = declaration(tree.attrs["method"])
    if method.kind == "point" and method.many:
        priors = from_json(tree.attrs["configuration"])["priors"]
        method = Method("point", method.assignments, OBJECTIVES[method.assignments, priors])
    stats, starts, assignment = {}, {}, None
    if method.kind == "point":
        stats = {"lp": np.asarray(tree["sample_stats"]["lp"].values)[:, :, place]}
        starts = _starts(tree, place)
        if facts.assignments == "hard" and "responsibilities" in tree.children:
            responsibilities = np.asarray(tree["responsibilities"]["responsibilities"].values)
            responsibilities = responsibilities[rows_of(tree, place)]
            assignment = responsibilities.argmax(1)[None, None]
    return Result(values, method, stats, starts, assignment=assignment, objective=facts.objective)


def _starts(tree: xr.DataTree, place: int) -> dict[str, Any]:
    """The best start, of a point method that tells of its starts."""
    table = tree["groups"].to_dataset().isel(group=place)
    if not {"converged", "iterations", "collapsed", "objective"} <= set(table):
        return {}
    objective = float(table["objective"])
    return {
        "objective": (("start", "iteration"), np.array([[objective]])),
        "final": (("start",), np.array([objective])),
        "iterations": (("start",), np.array([int(table["iterations"])])),
        "converged": (("start",), np.array([bool(table["converged"])])),
        "collapsed": (("start",), np.array([bool(table["collapsed"])])),
        "best": (("start",), np.array([True])),
        "initialization": (("start",), np.array(["best of several"])),
    }
