"""``python -m experiments.benchmarks.size [rows]``: EM over a file that is larger than its memory.

A file of float32 (default: 10⁸ × 8, 3.2 GB) is made in a temporary folder. Another process fits a
spherical mixture of 8 to it; it says how long a pass takes beside reading the file warm, how much
memory it had at most, and how far the centres are from those that the rows were drawn about.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, FEATURES, CLUSTERS = 100_000_000, 8, 8
PIECE = 1_000_000  #: rows that are made at once
ITERATIONS = 6
AIM = "aims: a pass within 1.3 times the reading, memory below 1 GB"


def centres() -> np.ndarray:
    """Of the clusters, ``(cluster, feature)``."""
    return np.random.default_rng(1).normal(size=(CLUSTERS, FEATURES)) * 4


def make(path: Path, rows: int) -> None:
    """Write rows, a piece at a time."""
    generator, middles = np.random.default_rng(0), centres().astype(np.float32)
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, FEATURES)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for first in range(0, rows, PIECE):
            count = min(PIECE, rows - first)
            noise = generator.standard_normal((count, FEATURES), np.float32)
            file.write((middles[generator.integers(0, CLUSTERS, count)] + noise).tobytes())


def reading(path: Path) -> float:
    """Seconds to read the file when it has just been read."""
    from ppl_models import open_blocks

    for _ in range(2):
        begun = time.perf_counter()
        for _block in open_blocks(path):
            pass
        seconds = time.perf_counter() - begun
    return seconds


def fitted(path: str) -> None:
    """Fit, and print what was measured as JSON."""
    from ppl_models import fit
    from ppl_models.inference.em import blocks

    times: list[float] = []
    iterated = blocks._iterated

    def timed(*arguments):  # type: ignore[no-untyped-def]
        begun = time.perf_counter()
        result = iterated(*arguments)
        times.append(time.perf_counter() - begun)
        return result

    blocks._iterated = timed
    tree = fit(
        "gaussian_mixture",
        Path(path),
        method="em",
        seed=0,
        clusters=CLUSTERS,
        covariance="spherical",
        precision="float32",
        starts=1,
        iterations=ITERATIONS,
        predictive=0,
    )
    loc = tree["posterior"]["loc"].values[0, 0]
    away = np.linalg.norm(loc[:, None] - centres()[None], axis=-1).min(0).max()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    measured = {"pass": float(np.median(times[1:])), "memory": peak, "away": float(away)}
    print(json.dumps(measured))


def main(rows: int) -> None:
    """Make the file, read it, and fit it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        make(path, rows)
        words = [sys.executable, "-m", "experiments.benchmarks.size", "fit", str(path)]
        answer = subprocess.run(words, capture_output=True, text=True, check=True)
        measured = json.loads(answer.stdout.splitlines()[-1])
        read = reading(path)
    print(
        f"{rows:,} × {FEATURES} float32, spherical, K={CLUSTERS}: "
        f"an EM pass {measured['pass']:.2f} s, reading {read:.2f} s, "
        f"ratio {measured['pass'] / read:.2f}; memory at most {measured['memory']:.2f} GB; "
        f"centres at most {measured['away']:.4f} off ({AIM})"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["fit"]:
        fitted(sys.argv[2])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
