"""``python -m experiments.optima.kmeans``: default k-means beside ``KMeans(n_init=10)``.

Twenty drawn sets of 10 to 50 round clusters; printed are J of both, and seconds of both: cold (the
first fit of such data in a process, compilation included) and warm (the same fit again). Run it
where nothing else runs; ``OMP_NUM_THREADS=2`` gives both sides two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import date

import jax
import numpy as np
from sklearn.cluster import KMeans

from experiments.benchmarks.timing import machine
from ppl_models.inference.methods.kmeans import kmeans
from ppl_models.inference.problem import Problem
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model

SETS = 20
HEADER = (
    "| set | rows × features | K | J | peer's J | J / peer's J | cold, s | peer cold, s "
    "| warm, s | peer warm, s |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def draw(seed: int) -> tuple[np.ndarray, int]:
    """Rows and the number of round clusters that they were drawn from."""
    generator = np.random.default_rng(seed)
    clusters, features = int(generator.integers(10, 51)), int(generator.integers(2, 9))
    rows = 100 * clusters
    centres = generator.uniform(-10, 10, (clusters, features))
    chosen = generator.integers(0, clusters, rows)
    return centres[chosen] + generator.normal(size=(rows, features)), clusters


def seconds(run: Callable[[], float]) -> tuple[float, float]:
    """What a function returns, and how long that takes."""
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began


def compare(seed: int) -> tuple[str, float, float, float]:
    """A line of the table, the ratio of the J, and warm seconds of both."""
    x, clusters = draw(seed)

    def ours() -> float:
        arguments = {"clusters": clusters, "covariance": "spherical"}
        model = Model(gaussian_mixture, {"x": x}, arguments, {})
        result = kmeans(Problem(model, model.structure()), jax.random.key(seed))
        return float(result.sample_stats["inertia"][0, 0])

    def theirs() -> float:
        return float(KMeans(clusters, n_init=10, random_state=seed).fit(x).inertia_)

    ((own, cold), (_, warm)), ((peer, peer_cold), (_, peer_warm)) = (
        (seconds(side), seconds(side)) for side in (ours, theirs)
    )
    ratio = own / peer
    line = (
        f"| {seed} | {x.shape[0]:,} × {x.shape[1]} | {clusters} | {own:,.1f} | {peer:,.1f} "
        f"| {ratio:.4f} | {cold:.2f} | {peer_cold:.2f} | {warm:.2f} | {peer_warm:.2f} |"
    )
    return line, ratio, warm, peer_warm


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and what it comes to."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m experiments.optima.kmeans"
    )
    parser.add_argument("--sets", type=int, default=SETS, help="data sets")
    asked = parser.parse_args(arguments)
    print(f"{date.today()}; {machine()}.\n\n{HEADER}", flush=True)
    measured = []
    with jax.enable_x64(True):
        for seed in range(asked.sets):
            line, *numbers = compare(seed)
            measured.append(numbers)
            print(line, flush=True)
    ratios, warm, peer = np.array(measured).T
    print(
        f"\nJ at most the peer's (to 1 in 10^6) in {(ratios <= 1 + 1e-6).sum()} of {len(measured)} "
        f"sets, at most {ratios.max():.4f} of it; warm {warm.sum():.1f} s, the peer "
        f"{peer.sum():.1f} s."
    )


if __name__ == "__main__":
    main()
