"""Held-out rows, numbers of parameters and criteria, shared by all comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.errors import InputError, UnsupportedError
from ppl_models.evaluation.left_out import without_rows
from ppl_models.inference.capabilities import ASSIGNMENT, HIDDEN, ROW_DENSITIES, STATISTICS, require
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.problem import Problem
from ppl_models.inference.row_weights import refuse_weights
from ppl_models.inference.suitability import refuse_unsuitable
from ppl_models.program.model import Globals, Model
from ppl_models.program.reading import read_data, read_program, take_vocabulary
from ppl_models.program.rows.known_clusters import Labels, take_labels, with_labels
from ppl_models.program.rows.order import ADVICE, PLACES, rows_depend_on_places
from ppl_models.program.rows.weights import take_weights, weights_of_lines
from ppl_models.program.trace.structure import Structure

ITERATIONS = 1000
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Search:
    """The problem that EM is run on for every candidate of one family.

    Args:
        function: the program.
        data: as ``fit`` takes them.
        candidates: numbers of clusters or of states, increasing.
        arguments: of the program.
        varied: the arguments that differ between families.
        seed: of all random numbers.
        starts: of EM, for every candidate.
        heldout: fraction of the rows, or sequences, that is held out.
        progress: show progress bars.
        weights: how often each row counts, as ``fit`` takes them.
        size: name of the program's argument for the number of clusters.
        labels: clusters of rows that are known, as ``fit`` takes them.
    """

    function: Callable
    data: Any
    candidates: list[int]
    arguments: Mapping[str, Any]
    varied: Mapping[str, Any]
    seed: int
    starts: int
    heldout: float
    progress: bool
    weights: Any = None
    size: str = "clusters"
    labels: Any = None

    @property
    def key(self) -> Array:
        """The random key of the whole search."""
        return random.key(self.seed)

    def problem(self, size: str, number: int) -> tuple[Problem, HeldOut | None]:
        """The problem with ``number`` clusters or states on training rows, and the held-out rows.

        Args:
            size: name of the argument for the number.
            number: of clusters or states.

        Raises:
            UnsupportedError: a program that EM does not serve.
        """
        arguments, like = take_vocabulary(dict(self.arguments))
        data, weights = take_weights(self.data, self.weights)
        data, weights = weights_of_lines(self.function, data, weights)
        data, told = take_labels(data, self.labels)
        sized = {**arguments, size: number}
        observed = read_data(self.function, data, like, arguments=sized)
        model, structure = read_program(
            self.function, observed, sized, {}, "float64", weights=weights
        )
        if told is not None:
            _refuse_renumbering(told, self.candidates)
            model = with_labels(model, structure, told)[0]
        refuse_uncounted(Problem(model, structure))
        refuse_weights("em", Problem(model, structure))
        if weights is not None and self.heldout:
            raise InputError(
                "heldout= leaves out whole rows, and with weights a row stands for several: use "
                "another criterion"
            )
        model, structure, held_out = hold_out(model, structure, self.heldout, self.key)
        problem = Problem(model, structure, self.progress)
        refuse_unsuitable(problem)
        hidden = (*STATISTICS, HIDDEN) if size == "states" else (*ROW_DENSITIES, ASSIGNMENT)
        # (the terms of a mixture that is a distribution are clusters without a site)
        require("em", problem, ROW_DENSITIES if problem.terms else hidden)
        return problem, held_out


def _refuse_renumbering(labels: Labels, candidates: list[int]) -> None:
    """Refuse labels of clusters that the smallest candidate does not have."""
    fewest, most = (labels.clusters(count)[0] for count in (candidates[0], candidates[-1]))
    if not np.array_equal(fewest, most):
        raise InputError(
            f"labels has cluster {most.max()}, and the candidates begin with {candidates[0]} "
            f"clusters: compare numbers from {most.max() + 1} up"
        )


@dataclass(frozen=True)
class Maximum:
    """The maximum of the likelihood that EM found for one candidate.

    Args:
        values: of the global sites.
        log_likelihood: at these values.
        report: ``converged``, ``collapsed`` and ``starts_at_best``, columns of the table.
    """

    values: Globals
    log_likelihood: float
    report: dict[str, Any]


def maximise_likelihood(search: Search, problem: Problem, number: int, what: str) -> Maximum:
    """Run EM from several starts, without priors.

    Args:
        search: its starts, seed and progress bars.
        problem: the candidate.
        number: of its clusters or states.
        what: "clusters" or "states", for the progress bar.
    """
    result = em_from_starts(
        problem,
        random.fold_in(search.key, number),
        starts=search.starts,
        iterations=ITERATIONS,
        tolerance=TOLERANCE,
        priors="flat",
        assignments="soft",
        label=f"choose_clusters, {number} {what}",
    )
    final, best = (result.starts[name][1] for name in ("final", "best"))
    log_likelihood = float(final[best][0])
    report = {
        "converged": bool(result.starts["converged"][1][best][0]),
        "collapsed": bool(result.starts["collapsed"][1].all()),
        "starts_at_best": int((final > log_likelihood - 1e-3).sum()),
    }
    values = {n: jnp.asarray(v[0, 0]) for n, v in result.values.items()}
    return Maximum(values, log_likelihood, report)


def refuse_uncounted(problem: Problem) -> None:
    """Refuse programs in which the number of rows of a criterion is undefined.

    Raises:
        UnsupportedError: the program scales rows or has a factor.
    """
    multiplied = [n for n in problem.structure.row_sites if n in problem.example.scales]
    if multiplied:
        raise UnsupportedError(
            f"numpyro.handlers.scale (or mask) multiplies the log-density of site '{multiplied[0]}'"
            ", so that the number of rows in a criterion is undefined: fit each number and compare "
            "the fits by log_density of held-out rows"
        )
    if problem.structure.factors:
        raise UnsupportedError(
            f"the program has the factor '{problem.structure.factors[0]}', which maximum "
            "likelihood leaves out: fit each number and compare the fits by loo"
        )


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows.

    Args:
        model: the program on data that contain them, with or without the training rows.
        structure: of the program on these data.
        rows: indices of the held-out rows.
    """

    model: Model
    structure: Structure
    rows: np.ndarray


def hold_out(
    model: Model, structure: Structure, fraction: float, key: Array
) -> tuple[Model, Structure, HeldOut | None]:
    """The model on the training rows, its structure, and the held-out rows (at least one of each).

    Where rows cannot be sliced out of the data, their cells are marked as missing.

    Args:
        model: a program with its data.
        structure: of the program.
        fraction: of the rows that is held out; 0 for none.
        key: random key.
    """
    if fraction <= 0:
        return model, structure, None
    rows = structure.rows
    order = np.asarray(random.permutation(key, rows))
    cut = min(max(round(fraction * rows), 1), rows - 1)
    out, fitted = np.sort(order[:cut]), np.sort(order[cut:])
    if structure.chain is not None:
        raise UnsupportedError(f"{PLACES}, so that none can be held out: {ADVICE}")
    if rows_depend_on_places(model, structure):
        return without_rows(model, structure, out), structure, HeldOut(model, structure, out)

    def taken(chosen: np.ndarray) -> tuple[Model, Structure]:
        part = model.with_data({n: np.asarray(v)[chosen] for n, v in model.data.items()})
        return part, part.structure()

    return *taken(fitted), HeldOut(*taken(out), np.arange(cut))


def parameter_count(problem: Problem, structure: Structure | None = None) -> int:
    """Number of free parameters of the likelihood; K probabilities count K - 1.

    Args:
        problem: program and data.
        structure: of the same program with another number of clusters (default: the problem's).
    """
    sites = (structure or problem.structure).sites
    total = sum(site.freedom for site in sites if site.name in problem.free_sites)
    for link in problem.parameter_map.links if problem.sums_rows_up else ():
        family = problem.emission_families.get(link.emission)
        if family is not None and link.parameter in family.equivalent_parameters:
            shape = next(site.shape for site in sites if site.name == link.site)
            total -= family.redundant(link.parameter, shape)
    return total


def criteria(
    log_likelihood: float, parameters: int, count: float, entropy: float
) -> dict[str, float]:
    """A candidate's criteria.

    Args:
        log_likelihood: at its maximum.
        parameters: number of free parameters.
        count: number of observations.
        entropy: -Σ log of the most probable assignment's probability.

    >>> criteria(-10.0, 2, 1, 0.5)["icl"]
    21.0
    """
    bic = -2 * log_likelihood + parameters * float(np.log(count))
    return {
        "log_likelihood": log_likelihood,
        "parameters": parameters,
        "bic": bic,
        "aic": -2 * log_likelihood + 2 * parameters,
        "icl": bic + 2 * entropy,
    }
