"""Stochastic EM: an M-step after every mini-batch of rows, for data too large to wait for a pass.

The first pass is the online EM of Cappé and Moulines (2009), later ones are the incremental EM of
Neal and Hinton (1998), whose fixed points are those of EM: see ``inference.em.stochastic``. Rows in
blocks are taken as they lie, those in memory in random order.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jax import Array, random

from ppl_models.errors import whole_number
from ppl_models.inference.capabilities import INDEPENDENT_ROWS, STATISTICS
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.em.stochastic import run_stochastic_em
from ppl_models.inference.method import Capability, Lack, Method
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.running import EXPONENT, check_exponent


def _rows_kept(problem: Problem) -> Lack | None:
    for name, family in problem.families.items():
        if family.keeps_rows:
            return Lack(f"the statistics of site '{name}' are its rows themselves")
    return None


SUMS = Capability("statistics that add up over rows", _rows_kept)

METHOD = Method(
    "point",
    "soft",
    LOG_POSTERIOR,
    (*STATISTICS, INDEPENDENT_ROWS, SUMS),
    row_weights="any",
    passes_over_blocks=True,
    keeps_states=True,
    updates=True,
    suggested=False,
)


def stochastic_em(
    problem: Problem,
    key: Array,
    *,
    starts: int = 4,
    iterations: int = 50,
    batch_size: int | None = None,
    exponent: float = EXPONENT,
    tolerance: float | None = None,
    priors: str = "program",
) -> Result:
    """Maximise the posterior density of the global sites by steps on mini-batches.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows.
        iterations: most passes over all rows. One pass, which is online EM, is enough for many rows
            in random order; blocks whose rows are sorted need several.
        batch_size: rows of a mini-batch (default: of rows in blocks some megabytes, in memory a
            sixteenth of all rows, but no fewer than 256). Statistics of all mini-batches are kept,
            some hundred megabytes at most.
        exponent: the t-th mini-batch of the first pass enters with weight t^-exponent; above 0.5
            and at most 1.
        tolerance: relative gain of the objective below which passes stop (default 1e-9 in float64,
            1e-6 in float32).
        priors: "program" for the posterior mode, "flat" for maximum likelihood.

    Returns:
        One point, the best start's; the course of every start, pass by pass, in ``starts``.

    Raises:
        InputError: options out of range.
    """
    check_exponent(exponent)
    if batch_size is not None:
        whole_number("batch_size", batch_size)
    order = int(np.asarray(random.key_data(key)).reshape(-1)[-1])
    return em_from_starts(
        problem,
        key,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        priors=priors,
        assignments="soft",
        label="stochastic_em",
        run=partial(run_stochastic_em, rows=batch_size, exponent=exponent, seed=order),
    )
