"""Gibbs sampling of the seating of a Chinese restaurant franchise, and of its parameters.

A sweep moves customers at all lengths of context, all restaurants side by side (see
``pitman_yor.franchise``), then draws each discount and concentration given the seating (Teh (2006),
A hierarchical Bayesian language model based on Pitman-Yor processes).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
from jax import Array, random
from numpyro.distributions import Beta, Gamma

from ppl_models.data.progress import progress_bar
from ppl_models.distributions.convert import unwrap
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import PLAIN_PRIORS, UNSCALED
from ppl_models.inference.mcmc.chain_states import ChainStates
from ppl_models.inference.method import Calibration, Capability, Lack, Method
from ppl_models.inference.pitman_yor.calibration import seating_ranks
from ppl_models.inference.pitman_yor.chain import Chain
from ppl_models.inference.pitman_yor.counts import FRANCHISE, NGRAM_COUNTS, SITES, held, seen_of
from ppl_models.inference.pitman_yor.franchise import Franchise
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result

PRIORS = {"discount": Beta, "concentration": Gamma}
IN_SAMPLE = (
    "there is no log_likelihood: given a seating in which they sit themselves, sequences are too "
    "probable for leaving one out, so judge prediction by log_density of sequences kept aside"
)


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
    "draws",
    needs=(NGRAM_COUNTS, FRANCHISE, UNSCALED, PLAIN_PRIORS, ONE_DISCOUNT, BETA_AND_GAMMA),
    calibration=Calibration(ranks=seating_ranks),
    keeps_states=True,
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
    total = warmup + draws * thinning
    by_chain = []
    with (
        nullcontext() if problem.checkpoint is None else problem.checkpoint.interruptible(),
        progress_bar(chains * total, "pitman_yor_gibbs", problem.progress) as bar,
    ):
        for chain_key in random.split(key, chains):
            seed = np.asarray(random.key_data(chain_key)).tolist()
            chain = Chain(Franchise(seen, np.random.default_rng(seed)), priors, fixed)
            by_chain.append(_run(chain, problem, bar, warmup, draws, thinning))
    stacked = {n: np.concatenate([each[n] for each in by_chain]) for n in by_chain[0]}
    free = {n: stacked[n] for n in problem.structure.names}
    return Result(free, METHOD, {"lp": stacked["lp"]}, exchangeable=False, notes=[IN_SAMPLE])


def _run(
    chain: Chain, problem: Problem, bar: Any, warmup: int, draws: int, thinning: int
) -> dict[str, np.ndarray]:
    """Draws of one chain, ``(1, draw, ...)``."""
    states = ChainStates(problem)
    resumable = problem.checkpoint is not None
    chain.go_on(states.begun(chain.arrays(), draws))
    bar.update(states.warmed + states.draws * thinning)
    try:
        while states.warmed < warmup or states.draws < draws:
            chain.sweep()
            if states.warmed < warmup:
                states.warm(chain.arrays() if resumable else None, 1)
            else:
                for _ in range(thinning - 1):
                    chain.sweep()
                drawn = {n: np.asarray(v)[None, None] for n, v in chain.state().items()}
                states.add(chain.arrays() if resumable else None, drawn)
            bar.update()
            states.keep_if_due()
    except KeyboardInterrupt:
        states.keep()
        raise
    states.keep()
    states.remember(chain.arrays())
    return states.all_draws()
