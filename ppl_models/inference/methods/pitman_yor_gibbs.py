"""Gibbs sampling of the seating of a Chinese restaurant franchise, and of its parameters.

A sweep moves customers at all lengths of context, all restaurants side by side (see
``pitman_yor.franchise``), then draws each discount and concentration given the seating (Teh (2006),
A hierarchical Bayesian language model based on Pitman-Yor processes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jax import Array, random
from numpyro.distributions import Beta, Gamma

from ppl_models.data.progress import progress_bar
from ppl_models.distributions.convert import unwrap
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import PLAIN_PRIORS, UNSCALED
from ppl_models.inference.method import Capability, Lack, Method
from ppl_models.inference.pitman_yor.counts import FRANCHISE, NGRAM_COUNTS, SITES, held, seen_of
from ppl_models.inference.pitman_yor.franchise import Franchise
from ppl_models.inference.problem import Problem, Result

PRIORS = {"discount": Beta, "concentration": Gamma}
IN_SAMPLE = (
    "there is no log_likelihood: given a seating in which they sit themselves, sequences are too "
    "probable for leaving one out, so judge prediction by log_density of sequences kept aside"
)
ROOM = 1e-9  #: discounts stay so far from 0 and 1, which are limits


def _several_discounts(problem: Problem) -> Lack | None:
    for site in problem.structure.sites:
        if site.name == "discount" and len(site.shape) > 1:
            return Lack(
                f"site 'discount' has {site.shape[1]} for every length of context",
                "give discounts=1",
            )
    return None


def _other_priors(problem: Problem) -> Lack | None:
    for name, kind in PRIORS.items():
        prior = unwrap(problem.example.priors.get(name))
        if prior is not None and not isinstance(prior, kind):
            return Lack(
                f"the prior of site '{name}' is {type(prior).__name__}",
                f"give {kind.__name__}, or hold the site by fixed=",
            )
    return None


ONE_DISCOUNT = Capability("one discount, as a Pitman-Yor process has", _several_discounts)
BETA_AND_GAMMA = Capability("Beta discounts and Gamma concentrations", _other_priors)
METHOD = Method(
    "draws", needs=(NGRAM_COUNTS, FRANCHISE, UNSCALED, PLAIN_PRIORS, ONE_DISCOUNT, BETA_AND_GAMMA)
)


def pitman_yor_gibbs(
    problem: Problem,
    key: Array,
    *,
    chains: int = 2,
    warmup: int = 100,
    draws: int = 50,
    thinning: int = 2,
) -> Result:
    """Draw seating, discounts and concentrations from their posterior.

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains.
        warmup: sweeps a chain that are not kept; each begins with one table an entry.
        draws: draws a chain that are kept; each holds the tables of all repeated entries.
        thinning: sweeps a draw.

    Returns:
        Draws. ``lp`` is the joint log-density of sequences, seating and parameters.

    Raises:
        InputError: options out of range.
    """
    if min(chains, draws, thinning) < 1 or warmup < 0:
        raise InputError(
            f"chains ({chains}), draws ({draws}) and thinning ({thinning}) must be at least 1, "
            f"warmup ({warmup}) at least 0"
        )
    seen = seen_of(problem)
    priors = {n: p for n, p in problem.example.priors.items() if n in SITES}
    fixed = {name: value for name in SITES if (value := held(problem, name)) is not None}
    recorded: dict[str, list] = {"discount": [], "concentration": [], "tables": [], "lp": []}
    with progress_bar(
        chains * (warmup + draws * thinning), "pitman_yor_gibbs", problem.progress
    ) as bar:
        for chain_key in random.split(key, chains):
            seed = np.asarray(random.key_data(chain_key)).tolist()
            chain = Chain(Franchise(seen, np.random.default_rng(seed)), priors, fixed)
            for iteration in range(warmup + draws * thinning):
                chain.sweep()
                bar.update()
                if iteration >= warmup and (iteration - warmup + 1) % thinning == 0:
                    for name, value in chain.state().items():
                        recorded[name].append(value)
    stacked = {n: np.stack(v).reshape(chains, draws, *np.shape(v[0])) for n, v in recorded.items()}
    free = {n: stacked[n] for n in problem.structure.names}
    return Result(free, METHOD, {"lp": stacked["lp"]}, exchangeable=False, notes=[IN_SAMPLE])


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
