"""k-means to convergence from the same start, against scikit-learn's Lloyd, float32."""

from __future__ import annotations

import jax
import numpy as np
from sklearn.cluster import KMeans

from ppl_models.inference.methods.kmeans import kmeans
from ppl_models.inference.problem import Problem
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model

from .timing import Row, paired

SIZES = ((1_000_000, 16, 16), (1_000_000, 32, 64))
MOST_ITERATIONS = 300


def run() -> list[Row]:
    """All sizes; both sides stop when no row changes its cluster."""
    rows = []
    for count, features, clusters in SIZES:
        generator = np.random.default_rng(0)
        middle = generator.normal(size=(clusters, features)) * 2
        x = middle[generator.integers(0, clusters, count)]
        x = (x + generator.normal(size=(count, features))).astype(np.float32)
        start = x[generator.choice(count, clusters, replace=False)]
        model = Model(
            gaussian_mixture, {"x": x}, {"clusters": clusters, "covariance": "spherical"}, {}
        )
        problem = Problem(model, model.structure())
        _ = problem.parameter_map, problem.chunks
        inertia: dict[str, float] = {}

        def ours(problem=problem, start=start, inertia=inertia) -> None:  # type: ignore
            result = kmeans(problem, jax.random.key(0), centres=start, iterations=MOST_ITERATIONS)
            inertia["ours"] = float(result.sample_stats["inertia"][0, 0])
            inertia["iterations"] = int(result.starts["iterations"][1][0])

        def theirs(x=x, start=start, clusters=clusters, inertia=inertia) -> None:  # type: ignore
            peer = KMeans(
                clusters, init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=MOST_ITERATIONS
            ).fit(x)
            inertia["theirs"] = float(peer.inertia_)
            inertia["peer_iterations"] = int(peer.n_iter_)

        row = paired(f"k-means, {count:,} × {features}, K={clusters}", ours, theirs, "≥ 1", pairs=2)
        note = (
            f"{row.what} (J {inertia['ours']:.6g} in {inertia['iterations']} iterations; "
            f"peer {inertia['theirs']:.6g} in {inertia['peer_iterations']})"
        )
        rows.append(
            Row(note, *[getattr(row, f) for f in ("ours", "theirs", "ratio", "low", "high", "aim")])
        )
    return rows
