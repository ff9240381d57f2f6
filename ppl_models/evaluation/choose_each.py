"""Numbers of clusters compared with a separate fit for each number.

Where the weights are a site of their own and there are sufficient statistics, all numbers are
fitted as the largest mixture with some clusters switched off. Other weights (a softmax,
stick-breaking, a gate by row) would not sum to one over the remaining clusters, so that each number
is fitted as a program of its own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, random
from jax.scipy.special import logsumexp

from ppl_models.evaluation.candidates import (
    Search,
    criteria,
    maximise_likelihood,
    parameter_count,
)
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.component_densities import term_log_joint
from ppl_models.program.trace.structure import Structure


def can_be_switched_off(problem: Problem) -> bool:
    """Whether smaller mixtures can be fitted as the largest one with clusters of weight zero."""
    weights = problem.parameter_map.of(problem.structure.assignment or "")
    return problem.sums_rows_up and bool(weights) and not problem.structure.combined


def fit_each(search: Search) -> list[dict[str, Any]]:
    """Rows of the table for one family: EM by maximum likelihood for every number of clusters."""
    rows = []
    for clusters in search.candidates:
        problem, held_out = search.problem(search.size, clusters)
        model, structure = problem.model, problem.structure
        maximum = maximise_likelihood(search, problem, clusters, "clusters")
        values = maximum.values
        density, entropy = _rows(model, values, structure=structure, terms=problem.terms)
        log_likelihood = float(model.summed(density))
        count = float(model.row_count(structure))
        row = {
            **search.varied,
            search.size: clusters,
            **criteria(log_likelihood, _parameters(problem, values), count, float(entropy)),
            **maximum.report,
        }
        if held_out is not None:
            scored, _ = _rows(
                held_out.model, values, structure=held_out.structure, terms=problem.terms
            )
            row["heldout"] = float(scored[held_out.rows].mean())
        rows.append(row)
    return rows


def _parameters(problem: Problem, values: Globals) -> int:
    """Number of free parameters: those of the sites where all of them are identified."""
    if can_be_switched_off(problem):  # (one by one beside noise, which is a cluster more)
        return parameter_count(problem)
    return identified(problem.model, problem.structure, values)


def identified(model: Model, structure: Structure, values: Globals | None = None) -> int:
    """Number of identified parameters: the rank of the rows' gradients.

    A softmax of K scores, for instance, identifies K - 1 parameters. With fewer rows than twice the
    number of parameters the rank is unreliable, and all parameters are counted. Catchpole
    and Morgan (1997), Biometrika 84.

    Args:
        model: the program with its data.
        structure: of the program.
        values: of the global sites, a point beside one that is drawn. The larger rank counts: a
            cluster that lies far off all rows, or has no weight, has no gradient there.
    """
    count = sum(site.freedom for site in structure.sites)
    if structure.rows < 2 * count:
        return count
    points = [structure.initial(random.key(3)), *([] if values is None else [values])]
    slopes = [np.asarray(_slopes(model, point, structure=structure)) for point in points]
    # (at a maximum on the boundary a gradient may be infinite)
    return max(int(np.linalg.matrix_rank(s, rtol=1e-8)) for s in slopes if np.isfinite(s).all())


@partial(jax.jit, static_argnames=("structure",))
def _slopes(model: Model, values: Globals, *, structure: Structure) -> Array:
    """Gradients of the rows' log-densities in the unconstrained space, ``(row, parameter)``."""
    space = structure.space

    def densities(vector: Array) -> Array:
        at = space.constrain(space.unravel(vector))
        return logsumexp(model.logits(at, structure), axis=0)

    return jax.jacfwd(densities)(space.ravel(space.unconstrain(values)))


@partial(jax.jit, static_argnames=("structure", "terms"))
def _rows(
    model: Model, values: Globals, *, structure: Structure, terms: int
) -> tuple[Array, Array]:
    """Log-density of every row, and -Σ log of the largest responsibility of each row."""
    of_clusters = term_log_joint if terms else Model.logits
    logits = of_clusters(model, values, structure)
    density = logsumexp(logits, axis=0)
    return density, -model.summed(logits.max(0) - density)
