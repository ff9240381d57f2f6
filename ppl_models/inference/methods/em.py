"""Expectation–maximisation: the mode of the posterior, or of the likelihood.

Each iteration sums the assignments out under their posterior and maximises the expected log joint
density: from sufficient statistics, in closed form where there is one, or by a few Newton steps on
the rows where no statistics sum them up (regressions, heavy tails, weights by row). Continuous
sites of the rows (random effects, factor scores) are integrated out of their densities: exactly
where they are linear-Gaussian, else by importance sampling. Dempster, Laird and Rubin (1977); with
priors, Green (1990); one conditional after another, Meng and Rubin (1993).
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.inference.capabilities import CONTINUOUS_SITES, INTEGRABLE_LOCALS
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.method import Method
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.densities.local_integrals import local_modes

METHOD = Method(
    "point",
    "soft",
    LOG_POSTERIOR,
    (CONTINUOUS_SITES, INTEGRABLE_LOCALS),
    maximises_likelihood=True,
    pads_rows=True,
    row_weights="any",
    integrates_locals=True,
    passes_over_blocks=True,
    keeps_states=True,
    many=True,
    updates=True,
)


def em(
    problem: Problem,
    key: Array,
    *,
    starts: int = 16,
    iterations: int = 2000,
    tolerance: float | None = None,
    priors: str = "program",
) -> Result:
    """Maximise the posterior density of the global sites, assignments summed out.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows (of categories a
            quarter by k-means++, the rest from random probabilities). From eight starts and four
            clusters or hidden states on, the best quarter of them goes on after ten iterations,
            each then moved on by split–merge moves, see ``inference.em.search``. Where no
            statistics sum up many rows, a sample of these tells the starts apart, and its two best
            optima at most go on, see ``inference.em.row_sample``; of many cells that belong to rows
            by an index array the best quarter goes on too.
        iterations: maximum number of iterations per start.
        tolerance: relative gain of the objective below which iterations stop (default 1e-9 in
            float64, 1e-6 in float32).
        priors: "program" for the posterior mode, "flat" for maximum likelihood.

    Returns:
        One point, the best start's, with the rows' own continuous sites at their modes given it;
        the course of every start that went on in ``starts``.

    Raises:
        InputError: options out of range.
    """
    if problem.structure.locals and not problem.structure.sites:
        return _with_local_modes(problem, Result({}, METHOD, {}))
    result = em_from_starts(
        problem,
        key,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        priors=priors,
        assignments="soft",
        label="em",
    )
    return _with_local_modes(problem, result) if problem.structure.locals else result


def _with_local_modes(problem: Problem, result: Result) -> Result:
    """The point, with the rows' own continuous sites at their modes given it."""
    point = {n: jnp.asarray(v[0, 0]) for n, v in result.values.items()}
    modes = local_modes(problem.model, point, structure=problem.structure)
    own = {n: np.asarray(v)[None, None] for n, v in modes.items()}
    return replace(result, values={**result.values, **own})
