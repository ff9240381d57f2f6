"""Gibbs sampling of the seating of a Chinese restaurant franchise, all restaurants side by side.

Every context is a restaurant, every token that follows it a dish; a table's opening sends one
customer to the restaurant of the context without its token furthest back. Given everything else
the number of tables is not independent between restaurants, for they share parents. Four auxiliary
variables, drawn anew at every step, make all entries (context, token) of one length independent:

    z_u ~ Gamma(θ/d + T_u)                turns [θ|d]_T into (d z_u)^T, a weight for every table
    β_u' ~ Dirichlet(sizes - d', θ' + d'T')    the parent's tables as atoms that customers pick
    a founder of each of the parent's tables, at random among its customers, who stays
    s_k ~ Beta(size_k, 1)                 because the founder was chosen among size_k

A customer then joins a table of its entry with weight size - d, or opens one with weight
d z_u Σ_k β_k s_k, the sum over the parent's tables of the same token. No customer is moved by
Metropolis-Hastings, nothing is truncated, and a step costs a few array operations a customer.
Teh (2006), A hierarchical Bayesian language model based on Pitman-Yor processes; the founders are
the table indicators of Chen, Du and Buntine (2011), Sampling table configurations for the
hierarchical Poisson-Dirichlet process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from ppl_models.distributions.sequences.ngrams import Ngrams

MOST_MOVES = (
    100  #: customers of one entry that a sweep moves at most, at random where there are more
)
TRIES = 8  #: tables that a waiting customer looks at in one go, when few are waiting
FEW = 500  #: customers that are few


@dataclass
class Level:
    """The restaurants of all contexts of one length; entries are (context, token), from 0.

    The parent of an entry is that of the context without its token furthest back, one level below.

    Args:
        restaurant: of every entry, ``(entry,)``.
        parent: the parent of every entry, ``(entry,)``; empty at level 0.
        occurrences: entries of the customers who are occurrences in the data, ``(occurrence,)``;
            all other customers are tables of the children.
        occurrence_tables: their tables, ``(occurrence,)``.
        tables: the entry of every table, ``(table,)``, in order.
        sizes: customers at every table, ``(table,)``.
        parent_table: the table of the parent at which the table is a customer, ``(table,)``.
    """

    restaurant: np.ndarray
    parent: np.ndarray
    occurrences: np.ndarray
    occurrence_tables: np.ndarray
    tables: np.ndarray
    sizes: np.ndarray
    parent_table: np.ndarray

    @property
    def restaurants(self) -> int:
        """Number of restaurants."""
        return int(self.restaurant[-1]) + 1

    def tables_per_entry(self) -> np.ndarray:
        """Tables of every entry."""
        return np.bincount(self.tables, minlength=len(self.restaurant))

    def tables_per_restaurant(self) -> np.ndarray:
        """Tables of every restaurant."""
        return np.bincount(self.restaurant[self.tables], minlength=self.restaurants)


class Franchise:
    """All levels, shortest contexts first; to begin with, one table for every entry."""

    def __init__(self, seen: Ngrams, generator: np.random.Generator):
        self.seen, self.generator = seen, generator
        length = np.asarray(seen.length)[seen.within]
        ends = np.searchsorted(length, np.arange(seen.order + 1))
        self.slices = [slice(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        first = np.searchsorted(np.asarray(seen.length), np.arange(seen.order))
        self.levels = []
        for at, part in enumerate(self.slices):
            restaurant = np.asarray(seen.within[part]) - first[at]
            entries = np.arange(len(restaurant))
            below = self.slices[at - 1].start if at else 0
            parent = np.asarray(seen.shorter[part]) - below
            seen_here = np.repeat(entries, seen.direct[part])
            self.levels.append(
                Level(
                    restaurant, parent, seen_here, seen_here.copy(), entries, entries, parent.copy()
                )
            )
        for at in range(seen.order):
            self._count_sizes(at)

    def customers(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        """Entries and tables of a level's customers: the children's tables, then occurrences."""
        level = self.levels[at]
        if at + 1 == len(self.levels):
            return level.occurrences, level.occurrence_tables
        children = self.levels[at + 1]
        entries = np.concatenate([children.parent[children.tables], level.occurrences])
        return entries, np.concatenate([children.parent_table, level.occurrence_tables])

    def repeated_tables(self) -> np.ndarray:
        """Tables of the entries that occurred more than once."""
        return np.concatenate([level.tables_per_entry() for level in self.levels])[
            self.seen.repeated
        ]

    def move_customers(self, discount: np.ndarray, concentration: np.ndarray) -> None:
        """Move customers at every level, longest contexts first."""
        for at in range(len(self.levels) - 1, -1, -1):
            self._move(at, discount, concentration)

    # ---- one level -----------------------------------------------------------------------------

    def _move(self, at: int, discount: np.ndarray, concentration: np.ndarray) -> None:
        level, draw = self.levels[at], self.generator
        d, theta = discount[at], concentration[at]
        opening = np.full(level.restaurants, theta)
        if d > 0:
            opening = d * draw.standard_gamma(theta / d + level.tables_per_restaurant())
        if at == 0:
            mass = np.full(len(level.restaurant), 1 / (self.seen.vocabulary + 1))
            weights, founders = np.zeros(0), np.zeros(len(level.tables), bool)
        else:
            weights = self._weights(at - 1, discount[at - 1], concentration[at - 1])
            parents = self.levels[at - 1]
            mass = np.bincount(parents.tables, weights, len(parents.restaurant))[level.parent]
            founders = self._founders(at - 1)
        entries, seats = self.customers(at)
        order = np.argsort(entries, kind="stable")
        seating = _SeatingArrangement(
            entries[order], seats[order], level, founders, opening[level.restaurant] * mass, d, draw
        )
        seating.move()
        occupied = np.flatnonzero(seating.size)
        of_seat = np.zeros(len(seating.size), np.int64)
        owner = np.zeros(len(seating.size), np.int64)
        owner[seating.seat] = seating.entry
        by_entry = occupied[np.argsort(owner[occupied], kind="stable")]
        of_seat[by_entry] = np.arange(len(by_entry))
        renamed = np.empty(len(entries), np.int64)
        renamed[order] = of_seat[seating.seat]
        is_founder = seating.founder[by_entry]
        before = np.zeros(len(seating.size), np.int64)
        before[: len(level.parent_table)] = level.parent_table
        level.tables, level.sizes = owner[by_entry], seating.size[by_entry]
        self._renumber_tables(at, renamed)
        if at > 0:
            level.parent_table = self._choose_parent_tables(
                at, weights, is_founder, before[by_entry]
            )
            self._count_sizes(at - 1)

    def _weights(self, at: int, d: float, theta: float) -> np.ndarray:
        """β_k s_k of every table of a level."""
        level, draw = self.levels[at], self.generator
        mass = draw.standard_gamma(level.sizes - d)
        where = level.restaurant[level.tables]
        total = np.bincount(where, mass, level.restaurants)
        total += draw.standard_gamma(theta + d * level.tables_per_restaurant())
        return mass / total[where] * draw.random(len(mass)) ** (1 / level.sizes)

    def _founders(self, at: int) -> np.ndarray:
        """Which of the children's tables founded the table where they sit, drawn at random."""
        _, seats = self.customers(at)
        shuffled = self.generator.permutation(len(seats))
        founder = np.empty(len(self.levels[at].tables), np.int64)
        founder[seats[shuffled]] = shuffled  # the last one written stays: one at random
        chosen = np.zeros(len(seats), bool)
        chosen[founder] = True
        return chosen[: len(self.levels[at + 1].tables)]

    def _choose_parent_tables(
        self, at: int, weights: np.ndarray, fixed: np.ndarray, before: np.ndarray
    ) -> np.ndarray:
        """Tables at the parents: founders keep theirs, all others draw by the weights."""
        level, parents = self.levels[at], self.levels[at - 1]
        ends = np.cumsum(np.bincount(parents.tables, minlength=len(parents.restaurant)))
        high = np.cumsum(weights)
        edges = np.concatenate([[0.0], high])[np.concatenate([[0], ends])]
        free = np.flatnonzero(~fixed)
        entry = level.parent[level.tables[free]]
        span = edges[entry + 1] - edges[entry]
        drawn = edges[entry] + self.generator.random(len(entry)) * span
        seat = np.searchsorted(high, drawn, side="right")
        first = np.concatenate([[0], ends])[entry]
        seats = before.copy()
        seats[free] = np.clip(seat, first, ends[entry] - 1)  # should rounding lead beyond
        return seats

    def _renumber_tables(self, at: int, renamed: np.ndarray) -> None:
        level = self.levels[at]
        if at + 1 < len(self.levels):
            children = self.levels[at + 1]
            children.parent_table, level.occurrence_tables = np.split(
                renamed, [len(children.tables)]
            )
        else:
            level.occurrence_tables = renamed

    def _count_sizes(self, at: int) -> None:
        level = self.levels[at]
        level.sizes = np.bincount(self.customers(at)[1], minlength=len(level.tables))

    # ---- hyper-parameters and density ----------------------------------------------------------

    def draw_parameters(
        self, at: int, d: float, theta: float, ones: float, zeros: float, shape: float, rate: float
    ) -> tuple[float, float]:
        """Discount and concentration of a level given its seating, by Teh's auxiliary variables.

        Args:
            at: the level.
            d: discount now.
            theta: concentration now.
            ones: of the discount's Beta prior.
            zeros: likewise.
            shape: of the concentration's Gamma prior.
            rate: likewise.
        """
        level, draw = self.levels[at], self.generator
        tables = level.tables_per_restaurant()
        customers = np.bincount(level.restaurant[level.tables], level.sizes, level.restaurants)
        many = customers[customers > 1]
        log_x = np.log(draw.beta(theta + 1, many - 1)).sum()
        beyond = _how_many_exceed(tables)  # restaurants with more than i tables, i = 1, 2, …
        step = np.arange(1, len(beyond) + 1)
        opened = draw.binomial(beyond, theta / (theta + d * step)).sum()
        ones_more = beyond.sum() - opened
        larger = _how_many_exceed(level.sizes)  # tables of more than j customers
        step = np.arange(1, len(larger) + 1)
        zeros_more = larger.sum() - draw.binomial(larger, (step - 1) / (step - d)).sum()
        return (
            float(draw.beta(ones + ones_more, zeros + zeros_more)),
            float(draw.gamma(shape + opened, 1 / (rate - log_x))),
        )

    def log_probability(self, discount: np.ndarray, concentration: np.ndarray) -> float:
        """Log-probability of the sequences and of their seating arrangement."""
        total = -len(self.levels[0].tables) * np.log(self.seen.vocabulary + 1)
        for level, d, theta in zip(self.levels, discount, concentration, strict=True):
            tables = level.tables_per_restaurant()
            customers = np.bincount(level.restaurant[level.tables], level.sizes, level.restaurants)
            total += (gammaln(theta) - gammaln(theta + customers)).sum()
            opened = tables * np.log(d if d > 0 else theta)
            if d > 0:
                opened = opened + gammaln(theta / d + tables) - gammaln(theta / d)
            total += opened.sum() + (gammaln(level.sizes - d) - gammaln(1 - d)).sum()
        return float(total)


def _how_many_exceed(values: np.ndarray) -> np.ndarray:
    """How many values exceed 1, 2, …

    >>> _how_many_exceed(np.array([1, 3, 2])).tolist()
    [2, 1]
    """
    return len(values) - np.cumsum(np.bincount(values))[1:-1]


class _SeatingArrangement:
    """Customers sorted by entry, and their tables while they are moved.

    A table keeps its number until the end; new ones get new numbers.
    """

    def __init__(
        self,
        entry: np.ndarray,
        seat: np.ndarray,
        level: Level,
        founder: np.ndarray,
        new: np.ndarray,
        discount: float,
        generator: np.random.Generator,
    ):
        room = len(level.tables) + len(entry)
        self.entry, self.seat, self.discount, self.draw = entry, seat.copy(), discount, generator
        self.size = np.zeros(room, np.int64)
        self.size[: len(level.sizes)] = level.sizes
        self.founder = np.zeros(room, bool)
        self.founder[: len(founder)] = founder
        self.top = len(level.tables)
        count = np.bincount(entry, minlength=len(level.restaurant))
        begin = np.cumsum(count) - count
        many = np.flatnonzero(count > 1)
        many = many[np.argsort(-count[many], kind="stable")]
        self.count, self.begin = count[many], begin[many]
        self.tables, self.new = level.tables_per_entry()[many], new[many]

    def move(self) -> None:
        """Move customers, one of every entry at a time, until all (or enough) have moved."""
        if not len(self.count):
            return
        offset = (self.draw.random(len(self.count)) * self.count).astype(np.int64)
        rounds = min(int(self.count[0]), MOST_MOVES)
        active = np.searchsorted(-self.count, -np.arange(rounds), side="left")
        for turn in range(rounds):
            chosen = slice(0, int(active[turn]))  # entries with more than `turn` customers
            place = (offset[chosen] + turn) % self.count[chosen]
            self._one_each(place, chosen)

    def _one_each(self, place: np.ndarray, chosen: slice) -> None:
        begin, count = self.begin[chosen], self.count[chosen]
        who = begin + place
        left = self.seat[who]
        self.size[left] -= 1
        empty = self.size[left] == 0
        stays = empty & self.founder[left]
        tables = self.tables[chosen]
        tables -= empty & ~stays  # a view: the entries' own counts
        join = count - 1 - self.discount * tables
        opens = self.draw.random(len(who)) * (join + self.new[chosen]) >= join
        opens &= ~stays
        seat = left.copy()
        opened = np.flatnonzero(opens)
        seat[opened] = self.top + np.arange(len(opened))
        self.top += len(opened)
        tables += opens
        waiting = np.flatnonzero(~opens & ~stays)
        while len(waiting):
            # a table with weight size - d: that of another customer, refused with chance d / size
            tries = (TRIES if len(waiting) < FEW else 1, len(waiting))
            other = (self.draw.random(tries) * (count[waiting] - 1)).astype(np.int64)
            other += other >= place[waiting]
            table = self.seat[begin[waiting] + other]
            taken = self.draw.random(tries) * self.size[table] >= self.discount
            first = taken.argmax(0)
            done = taken.any(0)
            seat[waiting] = table[first, np.arange(len(waiting))]
            waiting = waiting[~done]
        self.seat[who] = seat
        self.size[seat] += 1
