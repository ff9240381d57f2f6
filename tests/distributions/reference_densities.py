"""Log-densities of one datum under one component, by SciPy or by enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import stats

LEVELS = (2, 3, 2)  #: of the features of ``categorical``

Parameters = dict[str, np.ndarray]


def gaussian(parameters: Parameters, row: np.ndarray) -> float:
    """Log-density of a normal distribution; missing cells are left out."""
    loc = np.atleast_1d(parameters["loc"])
    row = np.atleast_1d(row)
    if "covariance" in parameters:
        covariance = parameters["covariance"]
    elif "axis_shape" in parameters:
        axes = parameters.get("orientation", np.eye(len(loc)))
        covariance = parameters["scale"] ** 2 * (axes * parameters["axis_shape"]) @ axes.T
    else:
        covariance = np.diag(np.broadcast_to(parameters["scale"] ** 2, loc.shape))
    seen = ~np.isnan(row)
    if not seen.any():
        return 0.0
    part = covariance[np.ix_(seen, seen)]
    return float(stats.multivariate_normal.logpdf(row[seen], loc[seen], part))


def bernoulli(parameters: Parameters, row: np.ndarray) -> float:
    """Log-probability of bits; missing ones are left out."""
    seen = ~np.isnan(row)
    return float(stats.bernoulli.logpmf(row[seen], parameters["probs"][seen]).sum())


def categorical(parameters: Parameters, row: np.ndarray) -> float:
    """Log-probability of codes of several features; missing ones are left out."""
    blocks = np.split(parameters["probs"], np.cumsum(LEVELS)[:-1])
    pairs = zip(blocks, row, strict=True)
    return float(sum(np.log(block[int(code)]) for block, code in pairs if not np.isnan(code)))


def poisson(parameters: Parameters, row: np.ndarray) -> float:
    """Log-probability of counts; missing ones are left out."""
    rate, row = np.atleast_1d(parameters["rate"]), np.atleast_1d(row)
    seen = ~np.isnan(row)
    return float(stats.poisson.logpmf(row[seen], rate[seen]).sum())


def completions(row: np.ndarray, tokens: int) -> list[np.ndarray]:
    """All sequences that a sequence with unknown tokens may be."""
    places = np.flatnonzero(row == -1)
    actual = []
    for chosen in product(range(tokens), repeat=len(places)):
        complete = row.copy()
        complete[places] = chosen
        actual.append(complete)
    return actual


def chain_probability(parameters: Parameters, row: np.ndarray) -> float:
    """Probability of one complete sequence, by multiplying its steps."""
    initial, transition = parameters["initial"], parameters["transition"]
    end = len(initial)
    probability = initial[row[0]] if row[0] < end else 0.0
    for place, (before, after) in enumerate(zip(row[:-1], row[1:], strict=True)):
        context = before
        if len(transition) > end and place > 0:  # two tokens, after the contexts of one
            context = end + row[place - 1] * end + before
        probability *= transition[context, after] if before < end else float(after == end)
    return float(probability)


def chain(parameters: Parameters, row: np.ndarray) -> float:
    """Log-probability of a sequence of tokens, summed over those that are missing."""
    tokens = len(parameters["initial"])
    return float(np.log(sum(chain_probability(parameters, r) for r in completions(row, tokens))))


def graph_choices(row: np.ndarray, sizes: int, width: int = 2) -> list[tuple[str, int, int]]:
    """What was a choice in one ordered graph, node by node: (parameter, index, how it went)."""
    actual: list[tuple[str, int, int]] = []
    parent, node, bits = 0, 1, [int(code) for code in row]
    while bits and bits[0] < 2:
        if node > 1:
            actual.append(("end", min(node - 2, sizes - 1), 0))
        ties: list[int] = []
        for other, bit in zip(range(node - width, node), bits, strict=False):
            possible = other >= max(parent, 0)
            if possible and (ties or other < node - 1):
                actual.append(("edge", node - other - 1, bit))
            else:  # no choice: the last bit of a row without an edge, or before the parent
                assert bit == possible
            ties += [other] * bit
        parent, node, bits = min(ties, default=0), node + 1, bits[width:]  # none: it was cut
    return [*actual, ("end", min(node - 2, sizes - 1), 1)] if bits else actual


def graph(parameters: Parameters, row: np.ndarray) -> float:
    """Log-probability of an ordered graph, choice by choice."""
    probability = 1.0
    for name, index, bit in graph_choices(row, len(parameters["end"])):
        probability *= parameters[name][index] if bit else 1 - parameters[name][index]
    return float(np.log(probability))
