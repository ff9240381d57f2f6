"""What Gibbs kernels share: their state, how they start, and which labels they may swap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
from jax import Array, random
from numpyro.infer.mcmc import MCMCKernel

from ppl_models.inference.mcmc.hmc_step import HmcState, hmc_step
from ppl_models.inference.problem import Problem
from ppl_models.program.densities.pair_passes import draw_given
from ppl_models.program.model import Globals
from ppl_models.program.parameters.exchangeability import LabelSwaps


class GibbsState(NamedTuple):
    """Global sites, the adaptation of those without a closed form, and assignments if kept."""

    z: Globals
    hmc: HmcState | None
    accept_prob: Array
    assignment: Array | None
    i: Array
    rng_key: Array


class GibbsKernel(MCMCKernel):
    """A kernel that draws assignments and then global sites; ``sample`` is its subclasses'.

    Args:
        problem: program and data.
        sites: the global sites that the kernel moves (default: all).
        keep_assignments: put every sweep's assignments into the state.
    """

    sample_field = "z"
    free: tuple[str, ...]  #: the sites that move by Hamiltonian Monte Carlo
    by_rows = False  #: whether their density goes through the rows

    def __init__(
        self, problem: Problem, sites: tuple[str, ...] | None, keep_assignments: bool
    ) -> None:
        self.problem = problem
        self.sites = problem.structure.names if sites is None else tuple(sites)
        self.keep_assignments = keep_assignments
        self.moves = self._label_moves()

    def settings(self) -> dict[str, Any]:
        """What distinguishes kernels of a class on the same problem, by attribute."""
        return {name: value for name, value in vars(self).items() if name != "problem"}

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], problem: Problem, warmup: int) -> Self:
        """A kernel with the settings of another one, on a problem that it has not been checked for.

        Args:
            settings: see :meth:`settings`.
            problem: program and data, which may be traced.
            warmup: steps in which Hamiltonian Monte Carlo adapts.
        """
        kernel = cls.__new__(cls)
        kernel.problem = problem
        for name, value in settings.items():
            setattr(kernel, name, value)
        kernel._set_steps(warmup)
        return kernel

    def _set_steps(self, warmup: int) -> None:
        """Hamiltonian steps that adapt for so many sweeps."""
        rows = self.problem.structure.rows if self.by_rows else None
        self._hmc_init, self._hmc_step = hmc_step(warmup, rows)

    def _label_moves(self) -> LabelSwaps | None:
        """Label swaps of the problem, if the kernel owns all sites permuted with the clusters."""
        moves = self.problem.label_swaps
        if moves is None or not set(moves.axes) <= set(self.sites):
            return None
        sticks = moves.sticks if moves.sticks in self.sites else None
        return LabelSwaps(moves.axes, sticks)

    @property
    def default_fields(self) -> tuple[str, ...]:
        """What ``MCMC`` collects."""
        return ("z", "assignment") if self.keep_assignments else ("z",)

    def init(
        self,
        rng_key: Array,
        num_warmup: int,
        init_params: Any,
        model_args: Any,
        model_kwargs: Any,
    ) -> GibbsState:
        """Start at ``init_params`` (constrained values), or at random."""
        start_key, hmc_key, rng_key = random.split(rng_key, 3)
        values = dict(init_params or {})
        if not set(self.sites) <= set(values):
            values = {**self.problem.structure.initial(start_key), **values}
        values = {n: v for n, v in values.items() if n in self.sites}
        hmc = None
        self._set_steps(num_warmup)
        if self.free:
            space = self.problem.structure.space.of(self.free)
            hmc = self._hmc_init(hmc_key, space.ravel(space.unconstrain(values)))
        rows = jnp.zeros(self.problem.structure.rows, jnp.int32)
        if self.problem.structure.coupled:  # each row's cluster is drawn given the others'
            begin_key = random.fold_in(start_key, 1)
            rows = draw_given(begin_key, self.problem.model, values, self.problem.structure)
        return GibbsState(
            values,
            hmc,
            jnp.ones(()),
            rows if self.keep_assignments else None,
            jnp.zeros((), jnp.int32),
            rng_key,
        )

    def refresh(self, state: GibbsState, model_args: Any, model_kwargs: Any) -> GibbsState:
        """Nothing of the state depends on what the kernel is conditioned on."""
        return state

    def get_diagnostics_str(self, state: GibbsState) -> str:
        """Acceptance of the Hamiltonian steps, where there are any."""
        return f"acc. prob={jnp.mean(state.accept_prob):.2f}" if self.free else "exact draws"
