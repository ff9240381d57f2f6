"""Fit one group by itself, as ``fit`` does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jax import random

from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import require
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.suitability import refuse_priors, refuse_unresolved, refuse_unsuitable
from ppl_models.many.outcome import Outcome
from ppl_models.many.request import Request
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.labels.allocations import Allocations
from ppl_models.posterior.labels.relabel import relabelled
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.result.schema import HIDDEN
from ppl_models.program.arguments.signature import data_parameters

NUMBERS = ("Reals", "Counts", "Bits")  #: kinds whose values as they are read may be read again


def fitted_alone(request: Request, group: int) -> Outcome:
    """The fit of one group, or the reason why there is none."""
    try:
        refuse_reading(request, group)
        problem, observed = request.problem(request.rows[group])
        refuse_unsuitable(problem)
        refuse_priors(problem)
        require(request.method, problem)
        key = random.fold_in(random.key(request.seed), group)
        result = request.run(problem, key, **request.options)
        refuse_unresolved(problem, result, observed)
        return _outcome(request, problem, result, observed)
    except InputError as error:
        return Outcome(failure=str(error))


def refuse_reading(request: Request, group: int) -> None:
    """Refuse a group that could not be read by itself: no rows, or a column of one value."""
    places = request.rows[group]
    if not len(places):
        raise InputError("the group has no rows")
    kinds = data_parameters(request.function)
    for name, observed in request.observed.items():
        if kinds[name].__name__ not in NUMBERS:
            continue
        values = observed.values[places]
        if values.ndim == 2:
            columns = observed.coords.get("feature")
            values = pd.DataFrame(values, columns=None if columns is None else list(columns))
        kinds[name].read(values, site=name)


def _outcome(
    request: Request, problem: Problem, result: Result, observed: dict[str, Observed]
) -> Outcome:
    attributes = {
        "program": request.function.__name__,
        "method": request.method,
        "kind": result.kind,
        "precision": request.precision,
    }
    tree = build_tree(problem, result, observed, random.key(0), attributes, 0)
    notes = list(result.notes)
    if result.kind == "draws" and result.exchangeable:
        fitted = RestoredFit.of_result(tree, problem, result, observed)
        tree = relabelled(Allocations(tree, fitted=fitted), "ecr", seed=request.seed)
    posterior = tree["posterior"].to_dataset()
    if HIDDEN in tree.children:
        posterior = posterior.merge(tree[HIDDEN].to_dataset())
    values = {
        n: posterior[n].transpose("chain", "draw", ...).values for n in problem.structure.names
    }
    site, draws = problem.structure.emissions[0], posterior.sizes["draw"]
    density = None
    every = 1
    if "log_likelihood" in tree.children and problem.structure.unit_count == problem.structure.rows:
        density = tree["log_likelihood"][site].transpose("chain", "draw", ...).values
        every = -(-draws // density.shape[1])
    responsibilities = None
    if "responsibilities" in tree.children:
        responsibilities = np.asarray(tree["responsibilities"]["responsibilities"].values)
    facts = {}
    if "best" in result.starts:
        best = int(np.flatnonzero(result.starts["best"][1])[0])
        told = ("converged", "iterations", "collapsed")
        facts = {n: result.starts[n][1][best] for n in told if n in result.starts}
    return Outcome(
        values,
        np.asarray(tree["sample_stats"]["lp"].values),
        density,
        every,
        responsibilities,
        problem.structure.clusters if problem.structure.assignment else 0,
        facts,
        notes=tuple(notes),
    )
