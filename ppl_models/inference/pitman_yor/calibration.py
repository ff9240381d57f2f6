"""Simulation-based calibration of the seating sampler: truths from a franchise of restaurants.

Discounts and concentrations are drawn from their priors, and sequences customer by customer, with
tables that remember who sits there. Nothing of it is shared with the sampler, which moves customers
of all restaurants side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpyro.distributions import Beta, Gamma

from ppl_models.distributions.sequences.ngrams import count_ngrams
from ppl_models.errors import InputError
from ppl_models.inference.pitman_yor.chain import Chain
from ppl_models.inference.pitman_yor.counts import as_numpy
from ppl_models.inference.pitman_yor.franchise import Franchise

PRIORS = ("discount_ones", "discount_zeros", "concentration_shape", "concentration_rate")
START = -1  #: the mark before the first token


class _Restaurants:
    """Tables of every context: a dish and its customers each."""

    def __init__(
        self,
        discount: np.ndarray,
        concentration: np.ndarray,
        dishes: int,
        draw: np.random.Generator,
    ):
        self.discount, self.concentration = discount, concentration
        self.dishes, self.draw = dishes, draw
        self.tables: dict[tuple[int, ...], list[list[int]]] = {}

    def serve(self, context: tuple[int, ...]) -> int:
        """Seat one customer; the dish of the table."""
        tables = self.tables.setdefault(context, [])
        d, theta = self.discount[len(context)], self.concentration[len(context)]
        weights = np.array([size - d for _, size in tables] + [theta + d * len(tables)])
        chosen = int(self.draw.choice(len(weights), p=weights / weights.sum()))
        if chosen < len(tables):
            tables[chosen][1] += 1
            return tables[chosen][0]
        dish = self.serve(context[1:]) if context else int(self.draw.integers(self.dishes))
        tables.append([dish, 1])
        return dish

    def count(self, length: int) -> int:
        """Tables of all contexts of a length."""
        return sum(len(tables) for context, tables in self.tables.items() if len(context) == length)


def _sequences(
    restaurants: _Restaurants, rows: int, positions: int, order: int, vocabulary: int
) -> np.ndarray:
    """Codes ``(sequence, position)``; a sequence that did not end is cut."""
    codes = np.full((rows, positions), vocabulary)
    for row in codes:
        line = [START]
        for place in range(positions):
            token = restaurants.serve(
                tuple(line[max(0, len(line) - order + 1) :]) if order > 1 else ()
            )
            row[place] = token
            if token == vocabulary:
                break
            line.append(token)
    return codes


def seating_ranks(
    *,
    rows: int,
    sizes: Mapping[str, Any],
    seed: int,
    simulations: int,
    draws: int,
    warmup: int,
    thinning: int,
    arguments: Mapping[str, Any],
    assumed: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Ranks of true discounts, concentrations and numbers of tables of every length of context.

    Args:
        rows: sequences of every simulation.
        sizes: ``positions``, the longest sequence, ``<end>`` included (default: 100).
        seed: of all random numbers.
        simulations: number of simulations.
        draws: that a true value is ranked among.
        warmup: sweeps before them.
        thinning: sweeps between them.
        arguments: of ``pitman_yor_chain``.
        assumed: those that the fit assumes in place of the true ones.

    Returns:
        By quantity, ``(simulation, length of context)``.

    Raises:
        InputError: an argument that this does not serve.
    """
    known = {"vocabulary", "order", *PRIORS}
    if odd := sorted(({*arguments, *assumed} - known) | ({"vocabulary"} - {*arguments})):
        raise InputError(
            f"calibration of seating takes {', '.join(sorted(known))}, vocabulary always: "
            f"see {odd[0]}"
        )
    vocabulary, order = int(arguments["vocabulary"]), int(arguments.get("order", 3))
    true = [float(arguments.get(name, 1.0)) for name in PRIORS]
    held = [float({**arguments, **assumed}.get(name, 1.0)) for name in PRIORS]
    priors = {"discount": Beta(held[0], held[1]), "concentration": Gamma(held[2], held[3])}
    ranks: dict[str, list] = {"discount": [], "concentration": [], "tables": []}
    for number in range(simulations):
        draw = np.random.default_rng([seed, number])
        truth: dict[str, Any] = {
            "discount": draw.beta(true[0], true[1], order),
            "concentration": draw.gamma(true[2], 1 / true[3], order),
        }
        restaurants = _Restaurants(truth["discount"], truth["concentration"], vocabulary + 1, draw)
        codes = _sequences(restaurants, rows, sizes.get("positions", 100), order, vocabulary)
        truth["tables"] = np.array([restaurants.count(length) for length in range(order)])
        seen = as_numpy(count_ngrams(codes, vocabulary=vocabulary, order=order))
        chain = Chain(Franchise(seen, draw), priors, {})
        draws_by_name: dict[str, list] = {name: [] for name in ranks}
        for iteration in range(warmup + draws * thinning):
            chain.sweep()
            if iteration >= warmup and (iteration - warmup + 1) % thinning == 0:
                draws_by_name["discount"].append(chain.discount.copy())
                draws_by_name["concentration"].append(chain.concentration.copy())
                draws_by_name["tables"].append(
                    [len(level.tables) for level in chain.franchise.levels]
                )
        for name, value in truth.items():
            mine = np.array(draws_by_name[name])
            below, equal = (mine < value).sum(0), (mine == value).sum(0)
            ranks[name].append((below + draw.random(order) * (equal + 1)) / (draws + 1))
    return {name: np.array(value) for name, value in ranks.items()}
