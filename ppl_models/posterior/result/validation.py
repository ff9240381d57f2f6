"""Validation of a tree: everything named in its facts exists, with the right axes.

Hand-made trees of tests are validated by the same function as fits, so that a test cannot drift
from what ``fit`` writes.
"""

from __future__ import annotations

from typing import get_args

import xarray as xr

from ppl_models.errors import InputError
from ppl_models.inference.objective import Direction
from ppl_models.posterior.result.schema import (
    HIDDEN,
    PARAMETERS,
    SAMPLE,
    Assignments,
    EmissionFacts,
    FitFacts,
    ParameterFacts,
    facts_of,
)

ATTRIBUTES = ("program", "method", "precision", "configuration", "data_site", "plate")
GROUPS = ("posterior", "sample_stats", "observed_data")


def validate(tree: xr.DataTree) -> FitFacts:
    """The facts of a tree, after checking that everything they name exists.

    Returns:
        The facts.

    Raises:
        InputError: which site, axis, group or statistic is missing or has other axes.
    """
    facts = facts_of(tree)
    _require(tree.attrs.get("kind") in ("draws", "point"), "attribute 'kind' is no kind of result")
    for name in ATTRIBUTES:
        _require(name in tree.attrs, f"there is no attribute {name!r}")
    for name in GROUPS:
        _require(name in tree.children, f"there is no group {name!r}")
    _require(facts.assignments in get_args(Assignments), f"assignments is {facts.assignments!r}")
    _require(
        (facts.assignments == "none") == (facts.clusters == facts.states == 0),
        "assignments is 'none' exactly where there are no clusters and no states",
    )
    _require(
        (facts.assignment is None) == (facts.clusters == 0),
        "there is an assignment exactly where there are clusters",
    )
    if facts.objective is not None:
        _require(facts.objective.direction in get_args(Direction), "the objective has no direction")
    _require(len(facts.emissions) > 0, "there is no emission")
    _require(tree.attrs["data_site"] == facts.emission.site, "data_site is not the main emission")
    _require(tree.attrs["plate"] == facts.unit, "plate is not the unit")
    _validate_weights(tree, facts)
    _validate_labels(tree, facts)
    for emission in facts.emissions:
        _validate_emission(tree, facts, emission)
    _validate_groups(tree, facts)
    return facts


def _validate_weights(tree: xr.DataTree, facts: FitFacts) -> None:
    if facts.weights is None:
        return
    _require(facts.weights in tree["posterior"], f"there is no site {facts.weights!r} of weights")
    _require_dims(tree["posterior"].to_dataset()[facts.weights], (*SAMPLE, "cluster"))


def _validate_labels(tree: xr.DataTree, facts: FitFacts) -> None:
    labels = facts.labels
    members = [component for each in labels.classes for component in each]
    _require(len(set(members)) == len(members), "a component is of two classes of labels")
    _require(
        all(0 <= component < labels.components for component in members),
        "labels may change places that no component has",
    )
    groups = [tree[n].to_dataset() for n in ("posterior", HIDDEN) if n in tree.children]
    for name, places in labels.axes.items():
        variable = next((g[name] for g in groups if name in g), None)
        _require(variable is not None, f"there is no site {name!r}, whose labels change places")
        assert variable is not None
        _require(
            all(0 <= axis < variable.ndim - 2 for axis, _ in places),
            f"{name!r} has the axes {variable.dims}, which do not have its axes of labels",
        )


def _validate_emission(tree: xr.DataTree, facts: FitFacts, emission: EmissionFacts) -> None:
    site = emission.site
    _require(site in tree["observed_data"], f"there are no data of emission {site!r}")
    _require_dims(tree["observed_data"].to_dataset()[site], emission.dims)
    begins = facts.units > 0 or emission.dims[0] == facts.unit
    _require(begins, f"the data of {site!r} do not begin with the unit")
    for named in (emission.family, emission.component_family):
        parts = ["", ""] if named is None else named.split(":")
        _require(
            named is None or (len(parts) == 2 and all(parts)),
            f"family {named!r} is not of the form module:ClassName",
        )
    count = {"cluster": facts.clusters, "state": facts.states, None: 1}
    _require(
        count.get(emission.component_dim, 0) > 0,
        f"there is nothing of axis {emission.component_dim!r}",
    )
    for name, parameter in emission.parameters.items():
        _validate_parameter(tree, emission, name, parameter)


def _validate_parameter(
    tree: xr.DataTree, emission: EmissionFacts, name: str, parameter: ParameterFacts
) -> None:
    label = f"{emission.site}.{name}"
    group = "posterior" if parameter.site is not None else PARAMETERS
    variable = label if parameter.site is None else parameter.site
    stored = tree[group].to_dataset() if group in tree.children else xr.Dataset()
    _require(variable in stored, f"group {group!r} lacks {variable!r}, parameter {label}")
    dims = stored[variable].dims
    _require(dims[:2] == SAMPLE, f"{variable!r} does not begin with chain and draw")
    _require(
        len(dims) == 2 + len(parameter.dims),
        f"{variable!r} has the axes {dims}, parameter {label} has {parameter.dims}",
    )
    if emission.component_dim == "cluster":
        _require(
            parameter.shared == ("cluster" not in parameter.dims),
            f"{label} is shared by clusters exactly where it has no axis of them",
        )
    fixed = {"cluster", "state", "next_state", "previous_state"}
    for own, named in zip(dims[2:], parameter.dims, strict=True):
        _require(own == named or named not in fixed, f"axis {own!r} of {variable!r} is {named!r}")


def _validate_groups(tree: xr.DataTree, facts: FitFacts) -> None:
    sizes = tree["posterior"].sizes
    if tree.attrs["kind"] == "point":
        _require(sizes["chain"] == sizes["draw"] == 1, "a point has one chain of one draw")
    for name, variable in tree["sample_stats"].data_vars.items():
        _require(variable.dims[:2] == SAMPLE, f"statistic {name!r} has no axes chain and draw")
    expected = {
        "log_likelihood": (*SAMPLE, facts.unit),
        "log_prior": SAMPLE,
        "responsibilities": (facts.unit, "cluster"),
    }
    for group, dims in expected.items():
        for variable in tree[group].to_dataset().values() if group in tree.children else ():
            _require_dims(variable, dims)
    if "starts" in tree.children:
        starts = tree["starts"].to_dataset()
        if "objective" in starts:
            _require_dims(starts["objective"], ("start", "iteration"))
            _require(facts.objective is not None, "starts have an objective, but it has no name")


def _require_dims(variable: xr.DataArray, dims: tuple[str, ...]) -> None:
    _require(variable.dims == dims, f"{variable.name!r} has the axes {variable.dims}, not {dims}")


def _require(right: bool, wrong: str) -> None:
    if not right:
        raise InputError(f"this tree is not what fit writes: {wrong}")
