"""Visits to a shop on the web, drawn from known kinds of visitors: which pages, in which order."""

from __future__ import annotations

import numpy as np

from ppl_models.errors import whole_number

PAGES = ("home", "search", "product", "reviews", "cart", "checkout", "account", "orders", "help")
KINDS = ("comparing", "reading", "buying", "following up")
SHARES = (0.3, 0.25, 0.25, 0.2)
NOISE = 0.1  #: share of the clicks that go anywhere, <end> included

#: kind -> page -> what comes next and how often; "" is the beginning, "end" the end of a visit.
#: Those who compare and those who read see the same pages as often, in another order.
STEPS: dict[str, dict[str, dict[str, float]]] = {
    "comparing": {
        "": {"product": 0.5, "reviews": 0.5},
        "product": {"product": 0.1, "reviews": 0.75, "end": 0.15},
        "reviews": {"reviews": 0.1, "product": 0.75, "end": 0.15},
    },
    "reading": {
        "": {"product": 0.5, "reviews": 0.5},
        "product": {"product": 0.75, "reviews": 0.1, "end": 0.15},
        "reviews": {"reviews": 0.75, "product": 0.1, "end": 0.15},
    },
    "buying": {
        "": {"home": 0.6, "search": 0.4},
        "home": {"search": 0.7, "product": 0.3},
        "search": {"search": 0.2, "product": 0.8},
        "product": {"search": 0.3, "cart": 0.5, "reviews": 0.2},
        "reviews": {"product": 0.5, "cart": 0.5},
        "cart": {"checkout": 0.7, "search": 0.3},
        "checkout": {"end": 0.9, "help": 0.1},
    },
    "following up": {
        "": {"account": 0.7, "home": 0.3},
        "home": {"account": 1.0},
        "account": {"orders": 0.8, "end": 0.2},
        "orders": {"orders": 0.3, "help": 0.4, "account": 0.1, "end": 0.2},
        "help": {"help": 0.3, "orders": 0.3, "end": 0.4},
    },
}


def click_streams(seed: int, visits: int = 2000) -> tuple[list[list[str]], np.ndarray]:
    """Visits as lists of pages, drawn from a mixture of four Markov chains.

    Args:
        seed: of the random numbers.
        visits: how many.

    Returns:
        The visits, and what kind of visitor each is of (visit,), as `KINDS` are numbered.

    Raises:
        InputError: no visits.

    Example:
        >>> visits, kind = click_streams(seed=0, visits=100)
        >>> len(visits), sorted(set(kind.tolist())), set(visits[0]) <= set(PAGES)
        (100, [0, 1, 2, 3], True)
    """
    whole_number("visits", visits)
    whole_number("seed", seed, minimum=0)
    generator = np.random.default_rng(seed)
    kind = generator.choice(len(KINDS), size=visits, p=SHARES)
    tables = [chain(name) for name in KINDS]
    return [_visit(generator, *tables[k]) for k in kind], kind


def chain(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A kind's true chain: `initial (page,)` and `transition (page, page or end)`.

    Example:
        >>> initial, transition = chain("reading")
        >>> bool(np.isclose(initial.sum(), 1) and np.allclose(transition.sum(1), 1))
        True
    """
    end = len(PAGES)
    place = {page: i for i, page in enumerate(PAGES)} | {"end": end}
    rows = np.full((end + 1, end + 1), 0.0)
    for before, following in STEPS[kind].items():
        for after, probability in following.items():
            rows[place.get(before, end), place[after]] = probability
    strange = rows.sum(1) == 0  # pages that only stray clicks lead to
    rows[strange] = rows[end]
    noisy = (1 - NOISE) * rows + NOISE / (end + 1)
    first = rows[end, :end] * (1 - NOISE) + NOISE / end
    return first, noisy[:end]


def _visit(
    generator: np.random.Generator, initial: np.ndarray, transition: np.ndarray
) -> list[str]:
    page = int(generator.choice(len(initial), p=initial))
    visit = [page]
    while True:
        page = int(generator.choice(len(initial) + 1, p=transition[page]))
        if page == len(initial):
            return [PAGES[p] for p in visit]
        visit.append(page)
