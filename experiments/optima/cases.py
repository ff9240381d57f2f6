"""Data drawn with known parameters, from which EM is started too: a bound that starts should reach.

Every case is a function of a seed; its truth is in the names of the program's global sites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A program, data for it, and the parameters that they were drawn with.

    Args:
        program: name of the program.
        data: as ``fit`` takes them.
        arguments: of the program.
        truth: values of the global sites.
    """

    program: str
    data: Any
    arguments: Mapping[str, Any]
    truth: Mapping[str, np.ndarray]


def _paths(generator: np.random.Generator, transition: np.ndarray, shape: tuple[int, int]) -> Any:
    """State paths ``(sequence, step)`` that begin uniformly."""
    states = len(transition)
    upto = transition.cumsum(1)
    path = np.empty(shape, int)
    path[:, 0] = generator.integers(0, states, shape[0])
    for t in range(1, shape[1]):
        uniform = generator.random(shape[0])[:, None]
        path[:, t] = (uniform > upto[path[:, t - 1]]).sum(1).clip(max=states - 1)
    return path


def _sticky(states: int, stay: float) -> np.ndarray:
    table = np.full((states, states), (1 - stay) / (states - 1))
    np.fill_diagonal(table, stay)
    return table


def _categories(generator: np.random.Generator, probs: np.ndarray) -> np.ndarray:
    """A code for every row of probabilities ``(..., level)``."""
    uniform = generator.random((*probs.shape[:-1], 1))
    return (uniform > probs.cumsum(-1)).sum(-1).clip(max=probs.shape[-1] - 1)


def statuses(seed: int, states: int = 6, levels: int = 5) -> Case:
    """A status a month: 100 persons, 36 months, states that last."""
    generator = np.random.default_rng(seed)
    transition, probs = _sticky(states, 0.95), generator.dirichlet(np.full(levels, 0.5), states)
    path = _paths(generator, transition, (100, 36))
    x = _categories(generator, probs[path]).astype(float)[..., None]
    truth = {"initial": np.full(states, 1 / states), "transition": transition, "probs": probs}
    arguments = {"states": states, "emission": "categorical", "levels": (levels,)}
    return Case("hidden_markov", x, arguments, truth)


def peaked_statuses(seed: int, states: int = 6) -> Case:
    """A status a month that shows the state nine times in ten: 100 persons, 48 months."""
    generator = np.random.default_rng(seed)
    transition, probs = _sticky(states, 0.95), _sticky(states, 0.9)
    x = _categories(generator, probs[_paths(generator, transition, (100, 48))])
    truth = {"initial": np.full(states, 1 / states), "transition": transition, "probs": probs}
    arguments = {"states": states, "emission": "categorical", "levels": (states,)}
    return Case("hidden_markov", x.astype(float)[..., None], arguments, truth)


def regimes(seed: int, states: int = 6) -> Case:
    """Measurements along a hidden chain: 30 sequences, 40 steps, two features."""
    generator = np.random.default_rng(seed)
    transition, loc = _sticky(states, 0.9), 2.5 * generator.normal(size=(states, 2))
    path = _paths(generator, transition, (30, 40))
    x = loc[path] + generator.normal(size=(30, 40, 2))
    truth = {
        "initial": np.full(states, 1 / states),
        "transition": transition,
        "loc": loc,
        "scale": np.ones((states, 2)),
    }
    return Case("hidden_markov", x, {"states": states}, truth)


def click_streams(seed: int, clusters: int = 10, vocabulary: int = 8) -> Case:
    """Sequences of twenty tokens or so, of ten kinds."""
    generator = np.random.default_rng(seed)
    initial = generator.dirichlet(np.ones(vocabulary), clusters)
    step = 0.95 * generator.dirichlet(np.full(vocabulary, 0.5), (clusters, vocabulary))
    transition = np.concatenate([step, np.full((clusters, vocabulary, 1), 0.05)], -1)
    kinds = generator.integers(0, clusters, 400)
    rows = []
    for kind in kinds:
        tokens = [int(_categories(generator, initial[kind]))]
        while (after := int(_categories(generator, transition[kind, tokens[-1]]))) < vocabulary:
            tokens.append(after)
        rows.append("".join(chr(ord("a") + token) for token in tokens))
    truth = {
        "weights": np.full(clusters, 1 / clusters),
        "initial": initial,
        "transition": transition,
    }
    return Case("chain_mixture", rows, {"clusters": clusters}, truth)


def round_clusters(seed: int, clusters: int = 12) -> Case:
    """Rows of two numbers from twelve round clusters, some of which overlap."""
    generator = np.random.default_rng(seed)
    loc = 8 * generator.uniform(-1, 1, (clusters, 2))
    x = loc[generator.integers(0, clusters, 1000)] + generator.normal(size=(1000, 2))
    truth = {
        "weights": np.full(clusters, 1 / clusters),
        "loc": loc,
        "covariance": np.broadcast_to(np.eye(2), (clusters, 2, 2)).copy(),
    }
    return Case("gaussian_mixture", x, {"clusters": clusters}, truth)


def bits(seed: int, clusters: int = 12, features: int = 24) -> Case:
    """Rows of 24 bits from twelve kinds."""
    generator = np.random.default_rng(seed)
    probs = generator.beta(0.7, 0.7, (clusters, features)).clip(0.01, 0.99)
    chosen = generator.integers(0, clusters, 800)
    x = (generator.random((800, features)) < probs[chosen]).astype(int)
    truth = {"weights": np.full(clusters, 1 / clusters), "probs": probs}
    return Case("bernoulli_mixture", x, {"clusters": clusters}, truth)


def answers(seed: int, clusters: int = 10, features: int = 12, levels: int = 3) -> Case:
    """Twelve answers of three levels from ten latent classes."""
    generator = np.random.default_rng(seed)
    probs = generator.dirichlet(np.full(levels, 0.6), (clusters, features))
    x = _categories(generator, probs[generator.integers(0, clusters, 800)])
    truth = {
        "weights": np.full(clusters, 1 / clusters),
        "probs": probs.reshape(clusters, -1).clip(1e-3)
        / probs.reshape(clusters, -1)
        .clip(1e-3)
        .reshape(clusters, features, levels)
        .sum(-1)
        .repeat(levels, -1),
    }
    return Case(
        "categorical_mixture", x, {"clusters": clusters, "levels": (levels,) * features}, truth
    )


def careers(seed: int, states: int = 8, levels: int = 6) -> Case:
    """A status a month of 700 persons through six years, states that last for years."""
    generator = np.random.default_rng(seed)
    transition = _sticky(states, 0.97)
    probs = generator.dirichlet(np.full(levels, 0.3), states)
    path = _paths(generator, transition, (700, 72))
    x = _categories(generator, probs[path]).astype(float)[..., None]
    truth = {"initial": np.full(states, 1 / states), "transition": transition, "probs": probs}
    arguments = {"states": states, "emission": "categorical", "levels": (levels,)}
    return Case("hidden_markov", x, arguments, truth)


CASES: dict[str, Callable[[int], Case]] = {
    "statuses, 100 × 36, 5 levels, 6 states": statuses,
    "peaked statuses, 100 × 48, 6 levels, 6 states": peaked_statuses,
    "Gaussian steps, 30 × 40 × 2, 6 states": regimes,
    "click-streams, 400 of 8 tokens, 10 kinds": click_streams,
    "Gaussians, 1,000 × 2, K=12": round_clusters,
    "bits, 800 × 24, K=12": bits,
    "answers, 800 × 12, K=10": answers,
}
#: run when they are named, for they take minutes each
LONG: dict[str, Callable[[int], Case]] = {
    "careers, 700 × 72, 6 levels, 8 states": careers,
}
