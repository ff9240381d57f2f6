"""Notes on a fit's program and data, in sentences."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np

from ppl_models import catalogue
from ppl_models.data.by_type import columns_told
from ppl_models.data.kinds import Observed
from ppl_models.data.kinds.several import value_names
from ppl_models.inference.problem import Problem
from ppl_models.program.arguments.signature import by_type
from ppl_models.program.model import Model
from ppl_models.program.rows.known_clusters import known_clusters
from ppl_models.program.trace.structure import Structure

MOST_NAMES = 20  #: that a note shows


def notes_of_fit(
    function: Callable,
    problem: Problem,
    observed: Mapping[str, Observed],
    names: Mapping[int, str],
) -> list[str]:
    """Notes on the program and the data, which do not depend on the method.

    Args:
        function: the program as it was given.
        problem: the program as it was read, with the data.
        observed: the data as they were read.
        names: of labels, by cluster, where labels were given.
    """
    marked = by_type(function)
    return [
        *_of_combinations(problem.structure),
        *_of_labels(problem, names),
        *_of_factors(function, problem),
        *_of_program(function, problem.model),
        *(
            [columns_told(observed, marked)]
            if marked
            else _of_numbering(problem.structure, observed)
        ),
    ]


def _of_combinations(structure: Structure) -> list[str]:
    """What clusters are, if several discrete sites are summed out together."""
    if not structure.combined:
        return []
    names = " and ".join(f"'{name}'" for name, _ in structure.combined)
    return [
        f"clusters are the {structure.clusters} combinations of the values of sites {names}, the "
        "last site's the fastest: predict(tree, site=...) is of one of them"
    ]


def _of_labels(problem: Problem, names: Mapping[int, str]) -> list[str]:
    """How many rows of each cluster were known, if labels were given."""
    known = known_clusters(problem.model)
    if known is None:
        return []
    each = ", ".join(
        f"{np.sum(known == k)} of cluster {k}" + (f" ({names[k]})" if k in names else "")
        for k in range(problem.structure.clusters)
        if k in names or (known == k).any()
    )
    return [
        f"the cluster of {np.sum(known >= 0)} of {len(known)} rows was given by labels=: {each}; "
        "the density of such a row is that of the row and its cluster together"
    ]


def _of_numbering(structure: Structure, observed: Mapping[str, Observed]) -> list[str]:
    """Which names the numbers stand for, where no axis of the results has these names.

    Names are numbered in their order as text, in which img10 comes before img2.
    """
    shown = {structure.plate, *(dim for site in structure.sites for dim in site.dims)}
    told = []
    for site, names in value_names(observed).items():
        if site in shown or site not in observed:  # (columns of a table have their names there)
            continue
        pairs = ", ".join(f"{code} = {name}" for code, name in enumerate(names[:MOST_NAMES]))
        more = f", ... ({len(names)} in all, sorted)" if len(names) > MOST_NAMES else ""
        told.append(f"results number the values of '{site}': {pairs}{more}")
    return told


def _of_factors(function: Callable, problem: Problem) -> list[str]:
    """Which data a factor's log-density belongs to, if it does not have their name."""
    if problem.model.function is function or len(problem.model.data) < 2:
        return []
    return [
        f"a numpyro.factor is all that the program says of its data: its log-density is called by "
        f"'{name}', the last data parameter of real numbers; call the factor as another data "
        "parameter to have it called by that"
        for name in problem.structure.likelihoods
    ]


def _of_program(function: Callable, model: Model) -> list[str]:
    """Notes of a program of this package on its data: the function ``notes`` in its file."""
    if not catalogue.is_built_in(function):
        return []
    notes = getattr(inspect.getmodule(function), "notes", None)
    return [] if notes is None else notes(model.data)
