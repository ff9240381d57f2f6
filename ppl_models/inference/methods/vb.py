"""Variational Bayes: independent distributions of the sites, by updates in closed form.

Assignments and every global site have distributions of their own, whose product is the nearest to
the posterior in the sense of the evidence lower bound; each is a conjugate one, and its update is
that of EM with expectations in place of values. Attias (1999), Inferring parameters and structure
of latent variable models by variational Bayes; Bishop (2006) §10.2.
"""

from __future__ import annotations

from jax import Array

from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.variational.loop import run_variational
from ppl_models.inference.variational.result import METHOD as _METHOD
from ppl_models.inference.variational.result import variational

METHOD = _METHOD


def vb(
    problem: Problem,
    key: Array,
    *,
    starts: int = 8,
    iterations: int = 2000,
    tolerance: float | None = None,
    chains: int = 4,
    draws: int = 250,
) -> Result:
    """Fit distributions of the global sites to their posterior, and draw.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows; of eight and more the
            best go on after ten iterations.
        iterations: maximum number of iterations per start.
        tolerance: relative gain of the bound below which iterations stop (default 1e-9 in float64,
            1e-6 in float32).
        chains: number of chains (independent, as all draws are).
        draws: draws a chain.

    Returns:
        Independent draws of the fitted distributions; the bound of every start by iteration in
        ``starts``, the best in the attribute ``evidence_bound``.

    Raises:
        InputError: options out of range.
    """
    return variational(
        problem,
        key,
        METHOD,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        chains=chains,
        draws=draws,
        label="vb",
        run=run_variational,
    )
