"""Facts of a fit about its program: written once by ``build_tree``, read everywhere else.

The attribute ``facts`` of a fitted ``xarray.DataTree`` holds a :class:`FitFacts` as JSON. Plots,
reports, diagnosis, restoring and comparison read it; nobody guesses from names of sites, variables
or methods. Values of emission parameters are read by :func:`emission_parameters`, whatever the
program calls its sites.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from ppl_models.data.derived import ROW_WEIGHTS
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.objective import Objective
from ppl_models.program.parameters.label_symmetry import LabelSymmetry

SUMMARY = "summary_of_rows"  #: attribute: of a fit to rows in blocks, what is known of all
ROW_ORDER = "row_order"  #: attribute: 1 where a row's density depends on its place among the rows
ROW_LABELS = "row_labels"  #: variable of constant_data: the known cluster of each row, or -1
LABEL_NAMES = "label_names"  #: attribute: names of labels by cluster, where they are no numbers
FACTS = "facts"  #: attribute of the root
GROUP_FACTS = "group_facts"  #: the same of a fit of many groups: those of each
MANY = "this tree holds the fits of many groups: take one by group(tree, label)"
HIDDEN = "hidden"  #: group of draws of whole numbers, which prediction needs and nobody reads
PARAMETERS = "emission_parameters"  #: group of parameters that are no global site as they stand

SAMPLE = ("chain", "draw")  #: axes that every variable of draws begins with
WEIGHTS = "probs"  #: the parameter of an assignment that are the cluster weights

Assignments = Literal["none", "soft", "hard"]


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter of an emission.

    Args:
        site: the global site that is the parameter as it stands; None where the parameter is
            computed from sites or is a constant, so that its values are in the group
            ``emission_parameters`` under ``"<emission>.<parameter>"``.
        shared: whether all components have the same value.
        dims: names of its axes after ``chain`` and ``draw``, as the family calls them: a site may
            have others where its program names them, in the same order.
    """

    site: str | None
    shared: bool
    dims: tuple[str, ...]


@dataclass(frozen=True)
class EmissionFacts:
    """One observed site.

    Args:
        site: name of the observed site.
        family: class of the emission as ``"module:ClassName"``; see
            ``distributions.registry.family_class``.
        component_family: where the emission composes another (what a hidden state emits), the
            class of that one.
        kind: data kind, the name of a class of ``data.kinds``: "Reals", "Bits", "Counts",
            "Categories", "Tokens", ...
        dims: names of the axes of the data, the unit's (row, sequence) first.
        component_dim: the axis of the parameters that tells components apart: "cluster", "state",
            or None where there is one component.
        parameters: parameter of the family -> what is known of it.
    """

    site: str
    family: str
    kind: str
    dims: tuple[str, ...]
    component_dim: str | None = None
    component_family: str | None = None
    parameters: Mapping[str, ParameterFacts] = field(default_factory=dict)


@dataclass(frozen=True)
class FitFacts:
    """Facts about the program and the method of a fit.

    Args:
        unit: dimension of the exchangeable units (the data plate): "row", "sequence", ...
        assignment: the discrete site that assigns units to clusters, or None.
        weights: the global site that is the cluster weights, or None.
        clusters: number of clusters; 0 where nothing is assigned.
        states: number of hidden states of paths; 0 where there are none.
        assignments: whether the method treats assignments (or state paths) as "soft"
            (probabilities) or "hard" (the best one counts wholly); "none" where there are none.
        objective: of optimising methods, else None.
        emissions: the observed sites, the first of them the main one.
        labels: which clusters or states may change places, and what goes with them.
        units: how many exchangeable units there are; 0 where the data have one entry each.
        locals: continuous sites of the units, such as factor scores and random effects, which are
            integrated out of every density.
    """

    unit: str
    assignment: str | None
    weights: str | None
    clusters: int
    states: int
    assignments: Assignments
    objective: Objective | None
    emissions: tuple[EmissionFacts, ...]
    labels: LabelSymmetry = field(default_factory=LabelSymmetry)
    units: int = 0
    locals: tuple[str, ...] = ()

    @property
    def components(self) -> int:
        """Number of clusters; where nothing is assigned, of states or of a mixture's terms."""
        return self.clusters or self.states or self.labels.components

    @property
    def emission(self) -> EmissionFacts:
        """The main observed site."""
        return self.emissions[0]


def write_facts(facts: FitFacts) -> str:
    """Facts as JSON text.

    >>> read = FitFacts("row", "z", "weights", 2, 0, "soft", Objective("log-likelihood"), ())
    >>> parse_facts(write_facts(read)) == read
    True
    """
    return json.dumps(asdict(facts))


def parse_facts(text: str) -> FitFacts:
    """Inverse of :func:`write_facts`."""
    read = json.loads(text)
    emissions = tuple(_emission(each) for each in read.pop("emissions"))
    objective = read.pop("objective")
    return FitFacts(
        **{**read, "labels": _labels(read["labels"]), "locals": tuple(read["locals"])},
        objective=None if objective is None else Objective(**objective),
        emissions=emissions,
    )


def _labels(read: dict[str, Any]) -> LabelSymmetry:
    return LabelSymmetry(
        read["components"],
        tuple(tuple(members) for members in read["classes"]),
        {site: tuple((axis, start) for axis, start in each) for site, each in read["axes"].items()},
        tuple(read["recomputed"]),
        read["reason"],
    )


def _emission(read: dict[str, Any]) -> EmissionFacts:
    parameters = {
        name: ParameterFacts(each["site"], each["shared"], tuple(each["dims"]))
        for name, each in read.pop("parameters").items()
    }
    return EmissionFacts(**{**read, "dims": tuple(read["dims"])}, parameters=parameters)


def facts_of(tree: xr.DataTree) -> FitFacts:
    """The facts of a fit.

    Raises:
        InputError: the tree is no fit of ppl_models.
    """
    if GROUP_FACTS in tree.attrs:
        raise InputError(MANY)
    if FACTS not in tree.attrs:
        raise InputError("this tree is no fit of ppl_models: it has no attribute 'facts'")
    return parse_facts(tree.attrs[FACTS])


def emission_parameters(tree: xr.DataTree, site: str | None = None) -> xr.Dataset:
    """Parameters of an emission at every draw, named as the family names them and their axes.

    Args:
        tree: a fit.
        site: the observed site (default: the main one).

    Returns:
        Variables ``(chain, draw, ...)`` such as ``loc``, ``scale``, ``probs``, ``transition``, of
        the draws that all of them have.
    """
    facts = facts_of(tree)
    by_site = {each.site: each for each in facts.emissions}
    emission = facts.emission if site is None else by_site[site]
    variables = {}
    for name, parameter in emission.parameters.items():
        stored = _parameter_variable(tree, emission.site, name, parameter)
        own = [str(d) for d in stored.dims if d not in SAMPLE]
        names = {o: d for o, d in zip(own, parameter.dims, strict=True) if o != d}
        stored = stored.drop_vars([o for o in names if o in stored.coords])
        variables[name] = stored.rename(names).rename(name)
    if not variables:
        return xr.Dataset()
    aligned = xr.align(*variables.values(), join="inner", exclude=_plain_axes(variables))
    return xr.merge(aligned, compat="override", join="override")


def _plain_axes(variables: Mapping[str, xr.DataArray]) -> set[str]:
    return {str(d) for v in variables.values() for d in v.dims} - set(SAMPLE)


def _parameter_variable(
    tree: xr.DataTree, emission: str, name: str, parameter: ParameterFacts
) -> xr.DataArray:
    if parameter.site is not None:
        return tree["posterior"].to_dataset()[parameter.site]
    return tree[PARAMETERS].to_dataset()[f"{emission}.{name}"]


def cluster_weights(tree: xr.DataTree) -> xr.DataArray | None:
    """Weights of the clusters ``(chain, draw, cluster)``.

    None where nothing is assigned, or where every row has weights of its own.
    """
    facts = facts_of(tree)
    if facts.weights is not None:
        return tree["posterior"].to_dataset()[facts.weights]
    stored = tree[PARAMETERS].to_dataset() if PARAMETERS in tree.children else xr.Dataset()
    return stored.get(f"{facts.assignment}.{WEIGHTS}")


def refuse_sample(tree: xr.DataTree, asked: str) -> None:
    """Refuse what needs the densities of all rows of a fit that holds a sample of them.

    Args:
        tree: a fit.
        asked: what is asked of it, as the subject of a sentence.

    Raises:
        UnsupportedError: the fit is one to rows in blocks.
    """
    if SUMMARY in tree.attrs:
        raise UnsupportedError(
            f"{asked} needs the density of every row at every draw, which a fit to rows in blocks "
            "does not hold: fit a sample in memory: fit(program, blocks.sample(10000, seed=0), ...)"
        )


def row_weights(tree: xr.DataTree) -> np.ndarray | None:
    """How often each row of the data that a tree was fitted to counts ``(row,)``; None: once."""
    if "constant_data" not in tree.children:
        return None
    held = tree["constant_data"].dataset
    return np.asarray(held[ROW_WEIGHTS].values, float) if ROW_WEIGHTS in held else None


def row_labels(tree: xr.DataTree) -> np.ndarray | None:
    """The cluster of each row ``(row,)`` by ``fit(labels=)``, -1 where not given; None: of none."""
    if "constant_data" not in tree.children:
        return None
    held = tree["constant_data"].dataset
    return np.asarray(held[ROW_LABELS].values) if ROW_LABELS in held else None


def weights_and_labels(tree: xr.DataTree) -> tuple[np.ndarray | None, np.ndarray | None]:
    """:func:`row_weights` and :func:`row_labels`."""
    return row_weights(tree), row_labels(tree)


def label_names(tree: xr.DataTree) -> dict[int, str]:
    """The names of the labels that ``fit(labels=)`` gave, by cluster."""
    return {int(k): name for k, name in json.loads(tree.attrs.get(LABEL_NAMES, "{}")).items()}


def thinning_of(draws: int, stored: int) -> int:
    """Stride of the thinned draws in a group that holds ``stored`` of ``draws``.

    >>> thinning_of(100, 34)
    3
    """
    return -(-draws // stored)
