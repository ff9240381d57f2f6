"""Fits that are killed (SIGKILL) at random moments and go on, to the bits of unbroken ones.

``python -m experiments.verification kills``: a hundred kills of EM, Gibbs sampling, NUTS,
stochastic variational inference and stochastic variational Bayes, whose steps are those of
stochastic EM. A killed process is started again on the same folder, and may be
killed again, until it ends.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.timing import machine

KILLS = 100
LONGEST = 4.0  #: seconds after the first state within which a process is killed

FITS: dict[str, dict[str, Any]] = {
    "em": {"starts": 3, "iterations": 1000, "tolerance": 0.0},
    "gibbs": {"chains": 2, "warmup": 1000, "draws": 6000, "starts": 2},
    "nuts": {"chains": 2, "warmup": 150, "draws": 300, "starts": 2},
    "svi": {"steps": 4000, "starts": 1},
    "stochastic_vb": {"starts": 2, "batch_size": 20, "iterations": 60, "tolerance": 0.0},
}
HEADER = "| method | kills | runs | resumed to the same bits |\n|---|---:|---:|---|"


def rows() -> np.ndarray:
    """Data of all runs."""
    generator = np.random.default_rng(0)
    return generator.poisson(np.array([[2, 9], [8, 3], [5, 5]])[generator.integers(0, 3, 400)])


def posterior(method: str, states: str | Path = "") -> dict[str, np.ndarray]:
    """The draws, or the point, of one of the fits.

    Args:
        method: of ``FITS``.
        states: folder of its states; without one none are kept.
    """
    from ppl_models import fit

    place = str(Path(states) / ("run.npz" if method == "svi" else "run")) if states else None
    tree = fit(
        "poisson_mixture",
        rows(),
        method=method,
        seed=3,
        clusters=3,
        predictive=0,
        relabel=None,
        checkpoint=place,
        **FITS[method],
    )
    return {str(n): v.values for n, v in tree["posterior"].data_vars.items()}


def run(method: str, states: str, out: str) -> None:
    """One process: fit, with a state after every block, and write what was found.

    Args:
        method: of ``FITS``.
        states: folder of its states, or empty.
        out: file of the posterior.
    """
    from ppl_models.inference.mcmc import blocks_of_draws
    from ppl_models.program.runtime.checkpoint import Checkpoint

    Checkpoint.due = lambda self, *, ended: True  # type: ignore[method-assign]
    blocks_of_draws.SECONDS = 0.02
    draws: dict[str, Any] = posterior(method, states)
    np.savez(f"{out}.partial.npz", allow_pickle=False, **draws)
    Path(f"{out}.partial.npz").replace(out)


def killed_run(method: str, folder: Path, moments: random.Random, kills: int) -> tuple[Any, int]:
    """A fit that is killed up to so many times: its posterior, and how often it was killed.

    Args:
        method: of ``FITS``.
        folder: of its files.
        moments: random numbers that say when.
        kills: at most.
    """
    out, count = folder / "out.npz", 0
    while not out.exists():
        states = folder / "states"
        states.mkdir(exist_ok=True)
        process = start(method, states, out)
        count += count < kills and kill(process, states, moments)
        if process.wait() > 0:
            raise RuntimeError(f"{method}: the process ended by itself, with {process.returncode}")
    with np.load(out, allow_pickle=False) as stored:
        return {n: stored[n] for n in stored.files}, count


def kill(process: subprocess.Popen, states: Path, moments: random.Random) -> bool:
    """Kill a process some time after it has written a state; whether it still ran.

    Args:
        process: to be killed.
        states: where it writes.
        moments: random numbers that say when.
    """
    begun = newest(states)
    while process.poll() is None and newest(states) == begun:
        time.sleep(0.01)
    left = time.monotonic() + moments.uniform(0, LONGEST) ** 2 / LONGEST
    while process.poll() is None and time.monotonic() < left:
        time.sleep(0.001)
    running = process.poll() is None
    process.kill()
    process.wait()
    return running


def newest(folder: Path) -> float:
    """When the last state was written."""
    return max((p.stat().st_mtime for p in folder.rglob("*.npz") if p.exists()), default=0.0)


def start(method: str, states: Path, out: Path) -> subprocess.Popen:
    """A process that runs :func:`run`."""
    words = [sys.executable, "-m", __spec__.name if __spec__ else __name__]
    return subprocess.Popen([*words, method, str(states), str(out)])


def same(one: Any, other: Any) -> bool:
    """Whether two posteriors are the same, bit by bit."""
    return set(one) == set(other) and all(one[n].tobytes() == other[n].tobytes() for n in one)


def main() -> None:
    """Print the table, and keep it in ``kills.md``."""
    print(HEADER)
    told = f"`python -m experiments.verification kills`, {date.today()}; {machine()}."
    text = "\n".join([told, "", HEADER, *table(), ""])
    Path(__file__).with_name("kills.md").write_text(text, encoding="utf-8")


def table(kills: int = KILLS) -> list[str]:
    """Lines of the table, a method each."""
    moments = random.Random(1)
    lines = []
    for method in FITS:
        with tempfile.TemporaryDirectory() as folder:
            unbroken, _ = killed_run(method, Path(folder), moments, 0)
        count, runs, equal = 0, 0, 0
        while count < kills // len(FITS):
            with tempfile.TemporaryDirectory() as folder:
                draws, here = killed_run(method, Path(folder), moments, kills // len(FITS) - count)
            count, runs, equal = count + here, runs + 1, equal + same(draws, unbroken)
        lines.append(f"| {method} | {count} | {runs} | {equal} of {runs} |")
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    run(*sys.argv[1:])
