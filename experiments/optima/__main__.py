"""``python -m experiments.optima``: EM's default starts beside EM that begins at the truth.

Ten data sets of every case are drawn with known parameters. The bar of a set is the log posterior
density where EM from the truth ends. Printed are, for each case, in how many sets the default fit
reached the bar, how far the worst set stayed below the best that is known, and the share of the
starts run to their end that came to the best. Words choose the cases whose names begin with them;
``--sets 3`` draws fewer sets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from experiments.benchmarks.timing import machine
from experiments.optima.cases import CASES, LONG, Case
from ppl_models import catalogue
from ppl_models.inference.em.loop import run_em
from ppl_models.inference.methods.em import em
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.reading import read_data, read_program

SETS = 10
REACHED = 0.1  #: nats below the bar that still reach it
NEAR = 1e-6  #: starts whose objective is within this of the best, relatively, have come there

HEADER = (
    "| case | sets at the bar | worst below the bar, nats | sets above the bar | "
    "starts at the best | seconds a fit |\n|---|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Outcome:
    """One fit: its end and that of EM from the truth, the starts at its end, and its seconds."""

    reached: float
    bar: float
    at_best: int
    starts: int
    seconds: float

    @property
    def below(self) -> float:
        """Nats below the bar."""
        return self.bar - self.reached


def read(case: Case) -> Problem:
    """The problem that ``fit`` makes of a case."""
    function = catalogue.program(case.program)
    observed = read_data(function, case.data, None)
    model, structure = read_program(function, observed, dict(case.arguments), {}, "float64")
    return Problem(model, structure)


def from_truth(problem: Problem, case: Case) -> float:
    """Log posterior density where EM from the truth ends."""
    links, free = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    start = {n: jnp.asarray(v, float)[None] for n, v in case.truth.items()}
    runs = run_em(problem, start, links=links, free=free, iterations=3000, tolerance=1e-10)
    return float(np.nanmax(runs.objective))


def outcome(case: Case, seed: int) -> Outcome:
    """Fit one data set."""
    problem = read(case)
    bar = from_truth(problem, case)
    began = time.perf_counter()
    result = em(problem, random.key(seed))
    seconds = time.perf_counter() - began
    final = np.asarray(result.starts["final"][1])
    best = float(final.max())
    at_best = int((final >= max(best, bar) - NEAR * abs(best)).sum())
    return Outcome(best, bar, at_best, len(final), seconds)


def row(name: str, outcomes: Sequence[Outcome]) -> str:
    """A line of the table."""
    reached = sum(o.below <= REACHED for o in outcomes)
    above = sum(o.below < -REACHED for o in outcomes)
    worst = max(0.0, *(o.below for o in outcomes))
    rate = sum(o.at_best for o in outcomes) / sum(o.starts for o in outcomes)
    seconds = float(np.median([o.seconds for o in outcomes]))
    count = len(outcomes)
    return (
        f"| {name} | {reached} of {count} | {worst:,.1f} | {above} of {count} | {rate:.0%} | "
        f"{seconds:.1f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of all cases, or of those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m experiments.optima")
    parser.add_argument("cases", nargs="*", help="how the names of cases begin (default: all)")
    parser.add_argument("--sets", type=int, default=SETS, help="data sets of each case")
    parser.add_argument("--each", action="store_true", help="print every data set's numbers too")
    asked = parser.parse_args(arguments)
    known = CASES | LONG
    names = [n for n in known if n.startswith(tuple(asked.cases))] if asked.cases else list(CASES)
    print(f"{date.today()}; {machine()}.\n\n{HEADER}", flush=True)
    with jax.enable_x64(True):
        for name in names:
            outcomes = []
            for seed in range(asked.sets):
                outcomes.append(outcome(known[name](seed), seed))
                if asked.each:
                    print(f"  {name}, set {seed}: {outcomes[-1]}", flush=True)
            print(row(name, outcomes), flush=True)


if __name__ == "__main__":
    main()
