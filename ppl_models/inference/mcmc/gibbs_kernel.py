"""Gibbs sampling on sufficient statistics, as a NumPyro kernel."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, random
from numpyro.infer.gibbs import GIBBS_SITES_KWARG

from ppl_models.inference.capabilities import STATISTICS, require
from ppl_models.inference.mcmc.gibbs_base import GibbsKernel, GibbsState
from ppl_models.inference.mcmc.hmc_step import HmcState
from ppl_models.inference.mcmc.label_swaps import swap_labels, without_sticks
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_and_sum
from ppl_models.inference.statistics.e_step import Expectations, expected_log_joint
from ppl_models.inference.statistics.m_step import (
    canonical_values,
    conditional,
    conjugate_sites,
)
from ppl_models.program.model import Globals


class StatisticsGibbs(GibbsKernel):
    """Gibbs sampling as a NumPyro kernel: assignments in one pass, then globals given statistics.

    Sites with a conjugate conditional are drawn from it; all others move together by a Hamiltonian
    Monte Carlo transition on the density of the statistics. Where clusters are not exchangeable,
    labels are swapped, see :mod:`.label_swaps`. The kernel works under ``MCMC`` (several chains by
    ``chain_method=jax.vmap``) and as a block of NumPyro's ``Gibbs``, where it owns some of the
    global sites and holds the others at their current values.

    Args:
        problem: program and data.
        sites: the global sites that the kernel moves (default: all).
        keep_assignments: put every sweep's assignments into the state.

    >>> import numpy as np
    >>> from numpyro.infer import MCMC
    >>> from ppl_models.inference.problem import Problem
    >>> from ppl_models.models.poisson_mixture import poisson_mixture
    >>> from ppl_models.program.model import Model
    >>> model = Model(poisson_mixture, {"x": np.array([1, 2, 9, 8])}, {"clusters": 2}, {})
    >>> kernel = StatisticsGibbs(Problem(model, model.structure()))
    >>> sampler = MCMC(kernel, num_warmup=5, num_samples=5, progress_bar=False)
    >>> sampler.run(random.key(0))
    >>> sampler.get_samples()["rate"].shape
    (5, 2)
    """

    def __init__(
        self,
        problem: Problem,
        *,
        sites: tuple[str, ...] | None = None,
        keep_assignments: bool = False,
    ):
        require("gibbs", problem, STATISTICS)
        super().__init__(problem, sites, keep_assignments)
        links, free = conjugate_sites(
            problem.model, problem.structure, problem.parameter_map, problem.chunks
        )
        self.links = tuple(w for w in links if w.site in self.sites)
        self.sticks = None if self.moves is None else self.moves.sticks
        self.free = tuple(n for n in free if n in self.sites and n != self.sticks)

    def sample(self, state: GibbsState, model_args: Any, model_kwargs: Any) -> GibbsState:
        """One sweep."""
        model, structure = self.problem.model, self.problem.structure
        sweep_key = random.split(state.rng_key, 4 + len(self.links))[1]
        held = dict((model_kwargs or {}).get(GIBBS_SITES_KWARG, {}))
        held = {n: v for n, v in held.items() if n in structure.names}
        values = {**held, **state.z}
        pieces = model.pieces(values, structure)
        expected, assignment = draw_and_sum(
            sweep_key, pieces, structure, self.problem.chunks, keep=self.keep_assignments
        )
        return self.given_statistics(state, values, expected, assignment)

    def given_statistics(
        self,
        state: GibbsState,
        values: Globals,
        expected: Expectations,
        assignment: Array | None,
    ) -> GibbsState:
        """The rest of a sweep: global sites given the statistics of drawn assignments.

        Args:
            state: before the sweep.
            values: of all global sites.
            expected: statistics.
            assignment: of the rows, if they are kept.
        """
        model, structure = self.problem.model, self.problem.structure
        chunks = self.problem.chunks
        count = 4 + len(self.links)
        key, _, hmc_key, *site_keys, label_key = random.split(state.rng_key, count)
        values = dict(values)
        for site_key, link in zip(site_keys, self.links, strict=True):
            pieces = model.pieces(values, structure)
            posterior = conditional(link, pieces, structure, expected, chunks, values, flat=False)
            assert posterior is not None
            values[link.site] = posterior.sample(site_key).astype(values[link.site].dtype)
        hmc, accept = state.hmc, state.accept_prob
        if self.free:
            hmc, moved = self._move(hmc_key, state, values, expected)
            values.update(moved)
            accept = hmc.accept_prob
        values = canonical_values(model, structure, self.links, values, flat=False)
        if self.moves is not None:
            values, order = swap_labels(
                label_key, self.moves, model, structure, values, expected.counts
            )
            assignment = (
                None if assignment is None else jnp.argsort(order).astype(jnp.int32)[assignment]
            )
        return GibbsState(
            {n: values[n] for n in self.sites}, hmc, accept, assignment, state.i + 1, key
        )

    def _move(
        self, key: Array, state: GibbsState, values: Globals, expected: Expectations
    ) -> tuple[HmcState, Globals]:
        """Hamiltonian steps of the sites without a closed form."""
        model, structure = self.problem.model, self.problem.structure
        space = structure.space.of(self.free)

        def log_density(vector: Array) -> Array:
            moved, volume = space.constrain_with_volume(space.unravel(vector))
            pieces = model.pieces({**values, **moved}, structure)
            density = expected_log_joint(pieces, expected, self.problem.chunks) + volume
            if self.sticks is None:
                return density
            prior = pieces.priors[self.sticks]
            return density + without_sticks(prior, values[self.sticks], expected.counts)

        vector = space.ravel(space.unconstrain(values))
        hmc, vector = self._hmc_step(key, state.hmc, vector, log_density, state.i)
        return hmc, space.constrain(space.unravel(vector))
