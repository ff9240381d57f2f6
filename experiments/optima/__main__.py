"""``python -m experiments.optima``: EM's default starts beside EM that begins at the truth.

Three data sets of every case are drawn with known parameters. Printed, and kept in
``results.md``: how far the best start's log posterior density is from the best that is known (its
own, or where EM comes to from the truth), and the share of the starts that came there. With names
of cases only these are run, and nothing is kept.
"""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from experiments.benchmarks.timing import machine
from experiments.optima.cases import CASES, Case
from ppl_models import catalogue
from ppl_models.inference.em.loop import run_em
from ppl_models.inference.methods.em import em
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.reading import read_data, read_program

SEEDS = 3
NEAR = 1e-6  #: starts whose objective is within this of the best, relatively, have come there

HEADER = (
    "| case | seed | log posterior | below the best known, nats | starts at the best | "
    "starts | seconds |\n|---|---:|---:|---:|---:|---:|---:|"
)


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


def line(name: str, seed: int) -> str:
    """Fit one data set."""
    case = CASES[name](seed)
    problem = read(case)
    known = from_truth(problem, case)
    began = time.perf_counter()
    result = em(problem, random.key(seed))
    seconds = time.perf_counter() - began
    final, _ = np.asarray(result.starts["final"][1]), result.starts
    best = max(known, final.max())
    reached = int((final >= best - NEAR * abs(best)).sum())
    gap = best - final.max()
    numbers = f"{final.max():,.1f} | {gap:,.1f} | {reached} | {len(final)} | {seconds:.1f}"
    return f"| {name} | {seed} | {numbers} |"


def main(chosen: list[str]) -> None:
    """All cases, or those whose names begin with one of the words."""
    names = [n for n in CASES if not chosen or n.startswith(tuple(chosen))]
    lines = []
    print(HEADER)
    with jax.enable_x64(True):
        for name in names:
            for seed in range(SEEDS):
                lines.append(line(name, seed))
                print(lines[-1], flush=True)
    if not chosen:
        note = f"`python -m experiments.optima`. {date.today()}; {machine()}."
        text = "\n".join([note, "", HEADER, *lines, ""])
        (Path(__file__).parent / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
