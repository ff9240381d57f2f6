"""EM per iteration against scikit-learn's ``GaussianMixture``, float32."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ppl_models.inference.em.loop import BLOCK, Plan, _block
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import soft
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model

from .timing import Row, a_call, paired

SIZES = ((200_000, 16, 8), (200_000, 32, 16))
AIMS = {"spherical": "≥ 10 (aim 20)", "diagonal": "≥ 10 (aim 20)", "tied": "≥ 5", "full": "≥ 5"}
PEER_NAMES = {"spherical": "spherical", "diagonal": "diag", "tied": "tied", "full": "full"}
PEER_ITERATIONS = 4


def data(rows: int, features: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clusters and the rows that both sides start from."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(clusters, features)) * 1.5
    x = centres[generator.integers(0, clusters, rows)] + generator.normal(size=(rows, features))
    x = x.astype(np.float32)
    return x, x[generator.choice(rows, clusters, replace=False)]


def all_sites(structure: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Values of all global sites: those given, and 0 in the unconstrained space for the others."""
    return {**structure.initial(random.key(0), radius=0.0), **values}


def iterator(x: np.ndarray, centres: np.ndarray, covariance: str) -> Callable[[], float]:
    """Ours: seconds an iteration of one start, priors included."""
    clusters = len(centres)
    model = Model(gaussian_mixture, {"x": x}, {"clusters": clusters, "covariance": covariance}, {})
    problem = Problem(model, model.structure())
    links, free = conjugate_sites(model, problem.structure, problem.parameter_map, problem.chunks)
    plan = Plan(problem.structure, links, free, False, soft, False, False)
    scatter = {
        "spherical": np.ones(clusters),
        "diagonal": np.ones(centres.shape),
        "tied": np.eye(x.shape[1]),
        "full": np.tile(np.eye(x.shape[1]), (clusters, 1, 1)),
    }
    name = "scale" if covariance in ("spherical", "diagonal") else "covariance"
    start = {"weights": np.full(clusters, 1 / clusters), "loc": centres, name: scatter[covariance]}
    start = all_sites(problem.structure, start)
    values = {n: jnp.asarray(v, jnp.float32)[None] for n, v in start.items()}
    state = (values, jnp.full(1, -jnp.inf), jnp.zeros(1, bool))

    known, model = problem.known_priors, jax.tree.map(jnp.asarray, model)

    def block() -> None:
        jax.block_until_ready(_block(model, problem.chunks, *state, -1.0, BLOCK, known, plan=plan))

    return lambda: a_call(block) / BLOCK


def peer(x: np.ndarray, centres: np.ndarray, covariance: str) -> Callable[[], float]:
    """scikit-learn: seconds an iteration, by the difference of a long and a short fit."""

    def seconds(iterations: int) -> float:
        mixture = GaussianMixture(
            len(centres),
            covariance_type=PEER_NAMES[covariance],
            max_iter=iterations,
            tol=0,
            means_init=centres,
            init_params="random_from_data",
            random_state=0,
        )
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(x)
        return time.perf_counter() - started

    def run() -> float:
        return (seconds(1 + PEER_ITERATIONS) - seconds(1)) / PEER_ITERATIONS

    return run


def run() -> list[Row]:
    """All sizes and covariances."""
    rows = []
    for count, features, clusters in SIZES:
        x, centres = data(count, features, clusters)
        for covariance, aim in AIMS.items():
            rows.append(
                paired(
                    f"EM iteration, {covariance}, {count:,} × {features}, K={clusters}",
                    iterator(x, centres, covariance),
                    peer(x, centres, covariance),
                    aim,
                    pairs=2,
                )
            )
    return rows
