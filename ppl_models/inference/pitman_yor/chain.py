"""One chain of the seating sampler: a franchise, and the parameters of its restaurants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpyro.distributions import Beta, Gamma

from ppl_models.distributions.convert import unwrap
from ppl_models.inference.pitman_yor.counts import SITES
from ppl_models.inference.pitman_yor.franchise import Franchise

SEATING = ("occurrence_tables", "tables", "sizes", "parent_table")  #: of a level, that moves
ROOM = 1e-9  #: discounts stay so far from 0 and 1, which are limits


class Chain:
    """A franchise and its parameters.

    Args:
        franchise: the seating.
        priors: of discounts and concentrations.
        fixed: values of those that are held.
    """

    def __init__(
        self, franchise: Franchise, priors: Mapping[str, Any], fixed: Mapping[str, np.ndarray]
    ):
        self.franchise, self.priors = franchise, priors
        self.free = {name: name not in fixed for name in SITES}
        order, draw = franchise.seen.order, franchise.generator
        begin = {
            "discount": draw.uniform(0.2, 0.8, order),
            "concentration": draw.gamma(1, 1, order),
        }
        self.shapes = [np.broadcast_to(v, order) for v in self._arguments()]
        values = {n: np.array(fixed.get(n, v)) for n, v in begin.items()}
        self.discount, self.concentration = values["discount"], values["concentration"]

    def _arguments(self) -> tuple[Any, Any, Any, Any]:
        """Of the two priors; any will do for a site that is held, for its draw is dropped."""
        beta = unwrap(self.priors.get("discount", Beta(1.0, 1.0)))
        gamma = unwrap(self.priors.get("concentration", Gamma(1.0, 1.0)))
        return beta.concentration1, beta.concentration0, gamma.concentration, gamma.rate

    def sweep(self) -> None:
        """One Gibbs sweep: the seating, then every discount and concentration."""
        self.franchise.move_customers(self.discount, self.concentration)
        for at in range(len(self.discount)):
            d, theta = self.franchise.draw_parameters(
                at, self.discount[at], self.concentration[at], *(s[at] for s in self.shapes)
            )
            if self.free["discount"]:
                self.discount[at] = np.clip(d, ROOM, 1 - ROOM)
            if self.free["concentration"]:
                self.concentration[at] = theta

    def state(self) -> dict[str, Any]:
        """What is kept of a draw."""
        lp = self.franchise.log_probability(self.discount, self.concentration)
        for name, prior in self.priors.items():
            value = self.discount if name == "discount" else self.concentration
            lp += float(np.sum(prior.log_prob(value)))
        return {
            "discount": self.discount.copy(),
            "concentration": self.concentration.copy(),
            "tables": self.franchise.repeated_tables().astype(np.int32),
            "lp": lp,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the next sweep depends on: seating, parameters, random numbers."""
        generator = json.dumps(self.franchise.generator.bit_generator.state)
        arrays = {"generator": np.array(generator)}
        arrays |= {"discount": self.discount.copy(), "concentration": self.concentration.copy()}
        for at, level in enumerate(self.franchise.levels):
            arrays |= {f"level {at} {n}": getattr(level, n).copy() for n in SEATING}
        return arrays

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what :meth:`arrays` gave."""
        self.franchise.generator.bit_generator.state = json.loads(str(arrays["generator"]))
        self.discount = np.array(arrays["discount"])
        self.concentration = np.array(arrays["concentration"])
        for at, level in enumerate(self.franchise.levels):
            for n in SEATING:
                setattr(level, n, np.array(arrays[f"level {at} {n}"]))
