"""Seconds of what is done with draws, and of choosing K, for which there is no peer."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ppl_models import choose_clusters, fit, partition, relabel
from ppl_models.data import old_faithful

from .timing import Timed

ROWS, CLUSTERS = 10_000, 10
PATTERNS, RECORDS = 5_000, 10_000_000


def timed(what: str, work: Callable[[], object], aim: str) -> Timed:
    """Do it once."""
    started = time.perf_counter()
    work()
    return Timed(what, time.perf_counter() - started, aim)


def run() -> list[Timed]:
    """Choosing K on a cold process first, then relabelling and partition of many rows."""
    rows = [
        timed(
            "choose_clusters, K = 1 … 10, Old Faithful, EM, compilation included",
            lambda: choose_clusters("gaussian_mixture", old_faithful(), range(1, 11), seed=0),
            "< 15",
        )
    ]
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CLUSTERS, 2)) * 4
    x = centres[generator.integers(0, CLUSTERS, ROWS)] + generator.normal(size=(ROWS, 2))
    tree = fit("gaussian_mixture", x, method="gibbs", seed=0, clusters=CLUSTERS, warmup=200,
               covariance="diagonal", starts=4, predictive=0, relabel=None)  # fmt: skip
    size = f"4 × 1,000 draws, {ROWS:,} rows, K={CLUSTERS}"
    for method in ("ecr", "ecr-iterative", "stephens"):
        rows.append(
            timed(f"relabel, {method}, {size}", lambda m=method: relabel(tree, method=m), "< 5")
        )
    rows.append(timed(f"partition, {size}", lambda: partition(tree), "< 30"))
    patterns, counts = _patterns(generator)
    what = f"{counts.sum():,} records as {len(patterns):,} patterns of 20 bits, EM, K=4"
    rows.append(
        timed(
            what,
            lambda: fit("bernoulli_mixture", patterns, method="em", seed=0, clusters=4,
                        weights=counts, predictive=0),
            "< 30",
        )
    )  # fmt: skip
    return rows


def _patterns(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of bits from four classes, and how often each was recorded."""
    probs = generator.uniform(0.1, 0.9, size=(4, 20))
    drawn = generator.random((40_000, 20)) < probs[generator.integers(0, 4, 40_000)]
    patterns = np.unique(drawn.astype(int), axis=0)[:PATTERNS]
    return patterns, generator.multinomial(RECORDS, np.full(len(patterns), 1 / len(patterns)))
