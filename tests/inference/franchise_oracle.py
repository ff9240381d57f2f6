"""Brute force for the franchise: every possible number of tables of every entry, by dictionaries.

Nothing here is shared with the package: contexts are tuples of tokens, the nearest last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from itertools import product
from math import prod

START = "<start>"


def occurrences(sequences, order, end):
    """(longest context, token) -> how often; contexts stop at the mark before the first token."""
    counts = Counter()
    for sequence in sequences:
        line = [START, *sequence, end]
        for place in range(1, len(line)):
            counts[tuple(line[max(0, place - order + 1) : place]), line[place]] += 1
    return counts


@cache
def stirling(customers, tables, discount):
    """Generalised Stirling number: the weights of all partitions of customers into tables."""
    if tables == 0 or customers == 0:
        return float(customers == tables)
    if tables > customers:
        return 0.0
    return stirling(customers - 1, tables - 1, discount) + (
        customers - 1 - discount * tables
    ) * stirling(customers - 1, tables, discount)


def rising(start, step, count):
    """start (start + step) … of so many factors."""
    return prod(start + i * step for i in range(count))


def seatings(seated, order, discount, concentration, outcomes):
    """All (weight, customers, tables) of entries (context, token); weights are not normalised."""

    def level(length, arrived):
        """``arrived``: customers that longer contexts send."""
        customers = Counter(arrived)
        for (context, token), count in seated.items():
            if len(context) == length:
                customers[context, token] += count
        entries = sorted(customers, key=str)
        d, theta = discount[length], concentration[length]
        for tables in product(*(range(1, customers[e] + 1) for e in entries)):
            weight = prod(
                stirling(customers[e], t, d) for e, t in zip(entries, tables, strict=True)
            )
            served, opened, sent = Counter(), Counter(), Counter()
            for (context, token), t in zip(entries, tables, strict=True):
                served[context] += customers[context, token]
                opened[context] += t
                sent[context[1:], token] += t
            for context in served:
                weight *= rising(theta, d, opened[context]) / rising(theta, 1, served[context])
            here = dict(zip(entries, tables, strict=True))
            if length == 0:
                yield weight * outcomes ** -sum(tables), dict(customers), here
                continue
            for below, c, t in level(length - 1, sent):
                yield weight * below, {**customers, **c}, {**here, **t}

    yield from level(order - 1, Counter())


def probability(token, context, customers, tables, discount, concentration, outcomes):
    """Of a token after a context, by recursion from the longest context that was seen."""
    served = defaultdict(int)
    opened = defaultdict(int)
    for (u, w), c in customers.items():
        served[u] += c
        opened[u] += tables[u, w]

    def at(u):
        m = len(u)
        shorter = 1 / outcomes if m == 0 else at(u[1:])
        if u not in served:
            return shorter
        d, theta = discount[m], concentration[m]
        own = customers.get((u, token), 0) - d * tables.get((u, token), 0)
        return (own + (theta + d * opened[u]) * shorter) / (theta + served[u])

    return at(context)
