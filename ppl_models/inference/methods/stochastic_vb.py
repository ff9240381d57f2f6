"""Stochastic variational Bayes: an update after every mini-batch, for data too large for passes.

A mini-batch's expected statistics enter a running average with a weight that falls, and the sites'
distributions are updated by the average times the number of rows: that is a natural gradient step
of the evidence bound (Hoffman, Blei, Wang and Paisley (2013), Stochastic variational inference).
From the second pass on every batch's statistics take the place of its old ones, as in incremental
EM.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jax import Array, random

from ppl_models.errors import whole_number
from ppl_models.inference.em.stochastic import run_stochastic_em
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.running import EXPONENT, check_exponent
from ppl_models.inference.variational.batches import VariationalBatches
from ppl_models.inference.variational.result import METHOD as _METHOD
from ppl_models.inference.variational.result import variational

METHOD = _METHOD


def stochastic_vb(
    problem: Problem,
    key: Array,
    *,
    starts: int = 4,
    iterations: int = 50,
    batch_size: int | None = None,
    exponent: float = EXPONENT,
    tolerance: float | None = None,
    chains: int = 4,
    draws: int = 250,
) -> Result:
    """Fit distributions of the global sites by steps on mini-batches, and draw.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows.
        iterations: most passes over all rows; one is enough for many rows in random order. Rows in
            blocks that are sorted want several.
        batch_size: rows of a mini-batch (default: of rows in blocks some megabytes, in memory a
            sixteenth of all rows, but no fewer than 256).
        exponent: the t-th mini-batch of the first pass enters with weight t^-exponent; above 0.5
            and at most 1 (Robbins and Monro 1951).
        tolerance: relative gain of the bound below which passes stop (default 1e-9 in float64, 1e-6
            in float32).
        chains: number of chains (independent, as all draws are).
        draws: draws a chain.

    Returns:
        Independent draws of the best start's distributions; the course of every start, pass by
        pass, in ``starts``, and the attribute ``evidence_bound``.

    Raises:
        InputError: options out of range.
    """
    check_exponent(exponent)
    if batch_size is not None:
        whole_number("batch_size", batch_size)
    order = int(np.asarray(random.key_data(key)).reshape(-1)[-1])
    return variational(
        problem,
        key,
        METHOD,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        chains=chains,
        draws=draws,
        label="stochastic_vb",
        run=partial(
            run_stochastic_em,
            rows=batch_size,
            exponent=exponent,
            seed=order,
            steps_of=VariationalBatches,
        ),
    )
