"""Hard assignment: EM at temperature 0, every row wholly in its best cluster.

The classification EM of Celeux and Govaert (1992): k-modes for Bernoulli and categorical
mixtures with flat weights; for the spherical mixture's limit see ``kmeans``.
"""

from __future__ import annotations

from jax import Array

from ..problem import Problem, Result
from ..statistics import hard as assign_hard
from .em import ascend


def check(problem: Problem) -> None:
    """Needs statistics and something to assign."""
    problem.need_statistics("hard")
    problem.need_assignment("hard")


def hard(
    problem: Problem,
    key: Array,
    *,
    starts: int = 16,
    iterations: int = 500,
    tolerance: float = 0.0,
    priors: str = "program",
) -> Result:
    """Maximise the joint density of global sites and assignments.

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts, half by k-means++ and half from random rows.
        iterations: most iterations of a start.
        tolerance: least relative gain that an iteration is worth (0: until nothing changes).
        priors: "program", or "flat" to leave the priors out.

    Returns:
        One point, the best start's.
    """
    return ascend(
        problem,
        key,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        priors=priors,
        assign=assign_hard,
        label="hard",
    )
