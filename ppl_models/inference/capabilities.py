"""What a program offers with its data, and the refusal of a method that needs what it does not.

A problem checks each capability once and remembers the answer. Methods declare what they need;
a capability that only one method needs is declared in that method's file.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np

from ppl_models import catalogue
from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.scaled import ScaledPrior
from ppl_models.errors import UnsupportedError
from ppl_models.inference.method import Capability, Lack, Method, declaration
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.densities.local_densities import dimension
from ppl_models.program.model import KNOWN_CLUSTER

MOST_INTEGRATED = 10  #: numbers of a row that are integrated out by importance sampling
MOST_SUGGESTIONS = 3  #: methods that a refusal names at most


def _discrete_globals(problem: Problem) -> Lack | None:
    for site in problem.structure.sites:
        if site.support.is_discrete:
            return Lack(f"site '{site.name}' holds whole numbers for all rows together")
    return None


def _row_latents(problem: Problem) -> Lack | None:
    if not problem.structure.locals:
        return None
    return Lack(
        f"site '{problem.structure.locals[0]}' is continuous and one for every row, which no "
        "statistics sum out"
    )


def _wide_locals(problem: Problem) -> Lack | None:
    structure = problem.structure
    if not structure.locals or structure.gaussian_locals:
        return None
    if (numbers := dimension(structure)) <= MOST_INTEGRATED:
        return None
    return Lack(
        f"site '{structure.locals[0]}' is continuous and one for every row, whose {numbers} "
        f"numbers have no integral in closed form (importance sampling takes {MOST_INTEGRATED})"
    )


def _no_families(problem: Problem) -> Lack | None:
    structure = problem.structure
    if structure.likelihoods:
        return Lack("a numpyro.factor is all that the program says of its data")
    if structure.undrawable:
        return Lack(f"factor '{structure.undrawable[0]}' is part of the density of every row")
    if structure.labelled is not None:
        return Lack(f"site '{structure.labelled}' is known for some rows")
    for name, family in problem.emission_families.items():
        if family is not None:
            continue
        if name in problem.structure.indexed:
            return Lack(f"the rows of site '{name}' are found by an index array or an inner plate")
        emission = problem.example.emissions[name]
        if as_family(emission) is not None:
            return Lack(f"the parameters of site '{name}' differ from row to row")
        return Lack(f"site '{name}' emits from {type(unwrap(emission)).__name__}")
    return None


def _row_weights(problem: Problem) -> Lack | None:
    weights = problem.example.log_weights
    if weights is None or weights.shape[1] == 1:
        return None
    return Lack(f"the weights of site '{problem.structure.assignment}' differ from row to row")


def _moving_scales(problem: Problem) -> Lack | None:
    site = problem.moving_scale
    if site is None:
        return None
    return Lack(
        f"numpyro.handlers.scale (or mask) multiplies the log-density of site '{site}' by what "
        "depends on clusters or on other sites"
    )


def _scaled(problem: Problem) -> Lack | None:
    structure = problem.structure
    for name in structure.row_sites:
        if name in problem.example.scales:
            return Lack(
                f"numpyro.handlers.scale (or mask) multiplies the log-density of site '{name}'"
            )
    return None


def _scaled_priors(problem: Problem) -> Lack | None:
    for name, prior in problem.example.priors.items():
        if isinstance(prior, ScaledPrior):
            return Lack(
                f"numpyro.handlers.scale (or mask) multiplies the log-density of site '{name}'"
            )
    if problem.structure.factors:
        return Lack(f"the program has the factor '{problem.structure.factors[0]}'")
    return None


def _known_clusters(problem: Problem) -> Lack | None:
    if KNOWN_CLUSTER not in problem.model.data:
        return None
    return Lack("labels= says which cluster some rows are of")


def _no_assignment(problem: Problem) -> Lack | None:
    if problem.structure.assignment is not None:
        return None
    return Lack("the program assigns nothing (it has no discrete hidden site)")


def _nothing_hidden(problem: Problem) -> Lack | None:
    return None if problem.latent else _no_assignment(problem)


def _something_hidden(problem: Problem) -> Lack | None:
    structure = problem.structure
    if structure.assignment is not None:
        return Lack(f"site '{structure.assignment}' is hidden")
    if problem.latent:
        return Lack(f"site '{structure.emissions[0]}' hides a path of states")
    for name, family in problem.emission_families.items():
        if family is not None and family.draws_hidden:
            return Lack(f"site '{name}' hides something of every row, by which it is weighed")
    return None


def _paths_of_other_rows(problem: Problem) -> Lack | None:
    if problem.sums_rows_up or not problem.latent:
        return None
    name = next(n for n, f in problem.emission_families.items() if f is not None and f.latent)
    return Lack(f"the paths of site '{name}' stand beside rows that no statistics sum up")


def _missing_cells_that_stay(problem: Problem) -> Lack | None:
    for name, missing in problem.chunks.missing:
        if missing and not problem.families[name].factorises:
            return Lack(f"site '{name}' has missing cells that its family cannot leave out")
    return None


def _cells_not_drawn(problem: Problem) -> Lack | None:
    if not problem.sums_rows_up:
        return None  # the rows' densities leave them out
    several = problem.structure.assignment is not None
    gaps = dict(problem.chunks.missing)
    for name, family in problem.families.items():
        factor = problem.scales.get(name)
        if factor is None or np.isin(factor, (0, 1)).all():
            continue
        if family.latent or family.draws_hidden or (gaps[name] and family.draws_missing):
            what = "a path of states" if family.latent else "missing cells"
            what = "what every row hides" if family.draws_hidden else what
            return Lack(
                f"numpyro.handlers.scale multiplies the log-density of site '{name}', which sums "
                f"{what} out, so that they cannot be drawn"
            )
    for name, missing in problem.chunks.missing:
        family = problem.families[name]
        if several and missing and family.latent and family.draws_missing:
            return Lack(
                f"site '{name}' is missing some features of a step, which are drawn for one "
                "hidden chain and not for one of every cluster",
                "give covariance='diagonal'" if _takes(problem, "covariance") else "",
            )
    return None


def _takes(problem: Problem, argument: str) -> bool:
    return argument in inspect.signature(problem.model.function).parameters


def _not_conjugate(problem: Problem) -> Lack | None:
    _, free = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    return Lack(f"the prior of site '{free[0]}' is not conjugate") if free else None


def _coupled(problem: Problem) -> Lack | None:
    structure = problem.structure
    if not structure.coupled:
        return None
    name = structure.indexed[0]
    return Lack(
        f"a cell of site '{name}' depends on site '{structure.assignment}' of two rows at once (as "
        "an edge does on both its nodes), so that no sum over the rows' clusters gives a density"
    )


INDEPENDENT_ROWS = Capability("rows that are independent given the global sites", _coupled)
CONTINUOUS_SITES = Capability("global sites that are all continuous", _discrete_globals)
INTEGRABLE_LOCALS = Capability("continuous sites of rows that integrate out", _wide_locals)
NO_ROW_LATENTS = Capability("rows without a continuous latent variable", _row_latents)
FAMILIES = Capability("exponential families whose parameters all rows share", _no_families)
COMMON_WEIGHTS = Capability("weights that all rows share", _row_weights)
#: rows with a density at given global sites, assignments summed out
ROW_DENSITIES = (CONTINUOUS_SITES, NO_ROW_LATENTS)
FIXED_SCALES = Capability("scales that nothing hidden changes", _moving_scales)
#: for methods that count rows as wholes
UNSCALED = Capability("rows that count once each", _scaled)
#: for methods that read priors and not their density
PLAIN_PRIORS = Capability("priors as they are written", _scaled_priors)
#: sufficient statistics sum the rows up, whatever becomes of the assignments
STATISTICS = (CONTINUOUS_SITES, NO_ROW_LATENTS, FAMILIES, COMMON_WEIGHTS, FIXED_SCALES)
ASSIGNMENT = Capability("a discrete site that assigns rows", _no_assignment)
HIDDEN = Capability("a discrete site that assigns rows, or hidden state paths", _nothing_hidden)
PATHS_BY_STATISTICS = Capability("state paths that statistics sum up", _paths_of_other_rows)
NOTHING_HIDDEN = Capability("a program in which nothing is hidden", _something_hidden)
DROPPABLE_CELLS = Capability("missing cells that can be left out", _missing_cells_that_stay)
DRAWABLE_CELLS = Capability("missing cells that can be drawn", _cells_not_drawn)
#: for methods that number the clusters anew as they go
UNKNOWN_CLUSTERS = Capability("rows whose clusters are all unknown", _known_clusters)
CONJUGATE = Capability("conjugate priors of all sites", _not_conjugate)


def lacking(problem: Problem, needs: Sequence[Capability]) -> Capability | None:
    """The first of these capabilities that a problem does not offer; None if it offers all."""
    return next((each for each in needs if problem.lack(each) is not None), None)


def refusal(name: str, problem: Problem, needs: Sequence[Capability] | None = None) -> str | None:
    """Why a method does not serve a problem, and what to do; None if it does.

    Args:
        name: of the method.
        problem: program and data.
        needs: what is needed (default: what the method declares).
    """
    method = declaration(name)
    capability = lacking(problem, method.needs if needs is None else needs)
    if capability is None:
        return None
    lack = problem.lack(capability)
    assert lack is not None
    ways = [lack.advice, _instead(name, method, problem)]
    advice = ", or ".join(way for way in ways if way) or "choose another program"
    return f"method='{name}' needs {capability.name}, and {lack.reason}: {advice}"


def require(name: str, problem: Problem, needs: Sequence[Capability] | None = None) -> None:
    """Refuse a problem that a method does not serve; arguments as in :func:`refusal`.

    Raises:
        UnsupportedError: what is lacking, at which site, and a way out that works.
    """
    said = refusal(name, problem, needs)
    if said is not None:
        raise UnsupportedError(said)


def sampler_of(problem: Problem) -> str | None:
    """The most special method that draws from the posterior itself; None where none serves."""
    methods = {n: declaration(n) for n in catalogue.method_names()}
    samplers = [
        n
        for n, method in methods.items()
        if method.kind == "draws" and method.objective is None and method.keeps_priors
        if problem.offers(*method.needs)
    ]
    return max(samplers, key=lambda n: len(methods[n].needs), default=None)


def _instead(name: str, method: Method, problem: Problem) -> str:
    """The methods most like the refused one that serve the problem, the most special first."""
    others = {n: declaration(n) for n in catalogue.method_names() if n != name}
    alike = sorted(
        (n for n, other in others.items() if other.keeps_priors and other.suggested),
        key=lambda n: (
            others[n].kind != method.kind,
            others[n].assignments != method.assignments,
            -len(others[n].needs),
        ),
    )
    suggested: list[str] = []
    for other in alike:
        if len(suggested) < MOST_SUGGESTIONS and problem.offers(*others[other].needs):
            suggested.append(f"'{other}'")
    if not suggested:
        return ""
    *first, last = suggested
    return f"use method={', '.join(first)} or {last}" if first else f"use method={last}"
