"""What a hidden chain's parameters are updated from: expected, best or drawn paths, summed up."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, random
from numpyro.distributions import Dirichlet, Distribution

from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.hmm import (
    forward_backward as hidden_paths,
)
from ppl_models.distributions.hmm import (
    viterbi as hidden_one_path,
)
from ppl_models.distributions.hmm.density import HiddenDensity
from ppl_models.distributions.hmm.forward_backward import Paths
from ppl_models.distributions.log_of_zero import safe_log


class HiddenStatistics(HiddenDensity):
    """Statistics of `HiddenMarkov`, and what follows from them."""

    # ---- paths -------------------------------------------------------------------------------

    def infer_latents(
        self,
        prepared: Any,
        *,
        missing: bool,
        centre: Array,
        how: str = "mean",
        key: Array | None = None,
    ) -> tuple[Array, Any]:
        """Log-densities ``(component, sequence)``, and what is known of the paths."""
        logits = self._step_logits(prepared, missing, centre)
        chains, lengths = self._chains_of(prepared), prepared["lengths"]
        if how == "mean":
            passed = jax.vmap(hidden_paths.forward, (0, 0, None))
            total, filtered = passed(chains, logits, lengths)
            return total, prepared | {"filtered": filtered}
        if how == "best":
            total, path = jax.vmap(hidden_one_path.best, (0, 0, None))(chains, logits, lengths)
        else:
            keys = random.split(key, len(logits))  # type: ignore[arg-type]
            draw = jax.vmap(hidden_one_path.drawn, (0, 0, 0, None))
            total, path = draw(keys, chains, logits, lengths)
        states = path if self.order == 1 else path % self.states
        return total, prepared | {"pairs": path, "path": states}

    @property
    def draws_missing(self) -> bool:
        """Whether cells of a step are missing in part and do not drop out."""
        return not self.emission.factorises

    def with_drawn_cells(self, key: Array, prepared: Any, chosen: Array, centre: Array) -> Any:
        """Rows with drawn paths, of whose steps the missing cells are drawn too.

        Needed where features are correlated: what is expected of a cell that is missing is no draw.
        """
        flat, path = self._flat(), prepared["path"].reshape(-1)
        key = random.fold_in(key, 1)  # the paths were drawn by the key itself
        steps = flat.of_rows(path).complete(key, prepared["steps"])
        return prepared | {"steps": flat.prepare(steps, missing=False, centre=centre)}

    def _paths_of(self, looked: Any, weights: Array) -> Paths:
        """Paths as :meth:`infer_latents` left them, under ``weights (component, sequence)``."""
        chains, lengths = self._chains_of(looked), looked["lengths"]
        over = (0, 0, 0, None)
        if "filtered" in looked:
            back = jax.vmap(hidden_paths.backward, over)
            return back(chains, looked["filtered"], weights, lengths)
        as_shares = jax.vmap(hidden_one_path.one_path, over)
        return as_shares(chains, looked["pairs"], weights, lengths)

    def _of_states(self, shares: Array) -> Array:
        """``(component, state, step, sequence)``, of pairs those of their last states."""
        if self.order == 1:
            return shares
        return shares.reshape(len(shares), -1, self.states, *shares.shape[2:]).sum(1)

    def chunk_statistics(
        self, weights: Array, prepared: Any, *, missing: bool, centre: Array
    ) -> Statistics:
        """Expected first states, steps from state to state, and the emission's statistics."""
        if not {"filtered", "pairs"} & prepared.keys():
            prepared = self.infer_latents(prepared, missing=missing, centre=centre)[1]
        return self._summed(self._paths_of(prepared, weights), prepared, missing, centre)

    def _summed(self, paths: Paths, prepared: Any, missing: bool, centre: Array) -> Statistics:
        """Statistics of weighted paths."""
        moves = jax.vmap(hidden_paths.transitions)(paths)
        if self.ends:
            ended = jax.vmap(hidden_paths.endings, (0, None))(paths, prepared["lengths"])
            last = (ended * ~self._cut(prepared)).sum(-1)
            moves = jnp.concatenate([moves, last.reshape(*moves.shape[:-1], 1)], axis=-1)
        shares = self._of_states(paths.states)
        # of pairs the last "before" is none: what follows it is the second state
        steps = {"transition": moves}
        if self.order == 2:
            steps = {"initial_transition": moves[:, -1], "transition": moves[:, :-1]}
        emitted = self._emitted(shares, prepared, missing, centre)
        return {"initial": shares[:, :, 0].sum(-1), **steps, **emitted}

    def _emitted(self, shares: Array, prepared: Any, missing: bool, centre: Array) -> Statistics:
        """The emission's statistics under shares ``(component, state, step, sequence)``."""
        seen = prepared["seen"]
        if not self._blank_unseen:
            shares = shares * seen
        shares = shares.reshape(-1, seen.size)
        return self._flat().prepared_statistics(
            shares, prepared["steps"], missing=missing, centre=centre
        )

    def seed_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Statistics under given shares of the states, ``(state, step × sequence)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        shape = prepared["seen"].shape
        active = jnp.arange(shape[0])[:, None] < prepared["lengths"]
        shares = weights.reshape(self.states, *shape) * active
        after = jnp.concatenate([shares[:, 1:], jnp.zeros_like(shares[:, :1])], axis=1)
        flat = self.components()
        if self.order == 2:
            shares, after = _of_pairs(shares), jnp.tile(after, (self.states + 1, 1, 1))
        ones = jnp.ones(flat._chains().step.shape[1:], weights.dtype)
        paths = jax.tree.map(lambda v: v[None], Paths(shares, shares, after, ones))
        return flat._summed(paths, prepared, missing, centre)

    # ---- updates -----------------------------------------------------------------------------

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        inner = self._flat().expected_log_density(self._inner(statistics), centre)
        chain = [
            (statistics[name] * safe_log(getattr(self, name))).sum(range(-dims, 0))
            for name, dims in self._chain_dims.items()
        ]
        return sum(chain) + self._by_state(inner).sum(-1)

    def _inner(self, statistics: Statistics) -> Statistics:
        return {n: v for n, v in statistics.items() if n not in self._chain_dims}

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Dirichlets for the chain; the emission's own conditionals for its parameters."""
        if parameter in self._chain_dims:
            if prior is not None and not isinstance(prior, Dirichlet):
                return None
            counts = statistics[parameter].sum(0) if shared else statistics[parameter]
            return DirichletConditional((1.0 if prior is None else prior.concentration) + counts)
        if not shared and parameter not in self.shared_parameters:
            return None  # a chain for every cluster: states and clusters share an axis
        if len(self.initial) > 1:
            return None
        tied = parameter in self.shared_parameters
        return self._flat().conditional(
            parameter, prior, self._inner(statistics), centre, shared=tied and shared
        )

    def collapsed(self, deviation: Array) -> Array:
        """Whether a state has shrunk onto a step or a plane."""
        return self._by_state(self._flat().collapsed(deviation)).any(-1)


def _of_pairs(shares: Array) -> Array:
    """Shares ``(state, step, sequence)`` of pairs whose two states are independent."""
    states = len(shares)
    before = jnp.concatenate([jnp.zeros_like(shares[:, :1]), shares[:, :-1]], axis=1)
    first = (jnp.arange(shares.shape[1]) == 0)[:, None] * shares
    pairs = before[:, None] * shares[None]
    return jnp.concatenate([pairs.reshape(states**2, *shares.shape[1:]), first])
