"""The Markov chain of hidden states: its parameters, their updates, and draws of paths."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.distributions import Dirichlet, Distribution

from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.distributions.contraction import einsum, matmul
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.hmm.forward_backward import (
    PathFactors,
    PathPosterior,
    endings,
    transitions,
)
from ppl_models.distributions.log_of_zero import safe_log
from ppl_models.errors import InputError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarkovChain:
    """A Markov chain of K states, of first or second order, which may end.

        P(z₁ … z_T) = initial[z₁] Π_t transition[z_t, z_t+1]
        P(z₁ … z_T) = initial[z₁] initial_transition[z₁, z₂] Π_t transition[z_t-1, z_t, z_t+1]

    Args:
        initial: ``batch + (state,)``.
        transition: ``batch + (state, state)``; or ``(state, state + 1)``, whose last column is
            the probability of ending after the state. Of second order one axis of states more.
        initial_transition: of second order, what follows the first state: ``batch + (state,
            state)``, or with as many columns as ``transition`` has; None of first order.

    >>> chain = MarkovChain(jnp.array([1.0, 0.0]), jnp.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> chain.states, chain.order, chain.ends
    (2, 1, False)
    """

    initial: Array
    transition: Array
    initial_transition: Array | None = None

    # ---- parameters --------------------------------------------------------------------------

    @classmethod
    def of(cls, initial: Any, transition: Any, initial_transition: Any = None) -> MarkovChain:
        """The Markov chain with these parameters.

        Raises:
            InputError: ``initial_transition`` and ``transition`` that do not fit.
        """
        second = None if initial_transition is None else jnp.asarray(initial_transition)
        chain = cls(jnp.asarray(initial), jnp.asarray(transition), second)
        if second is not None:
            first, later = second.shape, chain.transition.shape
            if first[-2] != chain.states or later[-3:] != (chain.states, *first[-2:]):
                raise InputError(
                    f"initial_transition has shape {first} and transition {later}: a chain of "
                    f"second order over {chain.states} states has (state, next) and (state, "
                    "state, next)"
                )
        return chain

    @property
    def states(self) -> int:
        """K."""
        return self.initial.shape[-1]

    @property
    def order(self) -> int:
        """How many states the next one depends on."""
        return 1 if self.initial_transition is None else 2

    @property
    def ends(self) -> bool:
        """Whether the Markov chain ends by itself."""
        return self.transition.shape[-1] > self.states

    @property
    def path_states(self) -> int:
        """How many states a pass over a path has: of second order K (K + 1) pairs."""
        return self.states * (1 if self.order == 1 else self.states + 1)

    @property
    def parameter_dims(self) -> dict[str, int]:
        """Parameters, and how many axes each has."""
        if self.order == 1:
            return {"initial": 1, "transition": 2}
        return {"initial": 1, "initial_transition": 2, "transition": 3}

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:
        """Parameters, and the names of their axes."""
        axes = ("previous_state", "state", "next_state")
        named = {n: axes[1:] if d == 2 else axes for n, d in self.parameter_dims.items()}
        return {**named, "initial": ("state",)}

    @property
    def parameters(self) -> dict[str, Array]:
        """Parameters by name; a chain of first order has no ``initial_transition``."""
        return {name: getattr(self, name) for name in self.parameter_dims}

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Of all parameters together."""
        dims = self.parameter_dims
        return lax.broadcast_shapes(*(v.shape[: -dims[n]] for n, v in self.parameters.items()))

    def path_factors(self) -> PathFactors:
        """What the passes over paths take, ``batch`` first."""
        initial, table, k = self.initial, self.transition, self.states
        if self.initial_transition is not None:
            batch = self.batch_shape
            first = jnp.broadcast_to(
                self.initial_transition, batch + self.initial_transition.shape[-2:]
            )
            table = jnp.broadcast_to(table, batch + table.shape[-3:])
            table = jnp.concatenate([table, first[..., None, :, :]], -3)
            initial = jnp.broadcast_to(initial, (*batch, k))
            initial = jnp.concatenate([jnp.zeros((*batch, k * k), initial.dtype), initial], -1)
        if not self.ends:
            return PathFactors(initial, table, jnp.ones_like(initial))
        end = table[..., k]
        end = end if self.order == 1 else end.reshape(initial.shape)
        return PathFactors(initial, table[..., :k], end)

    def factors_of(self, lengths: Array, cut: Array) -> PathFactors:
        """Factors of paths that end where their sequences do.

        Args:
            lengths: steps of every sequence; an empty one has no end that it could have come to.
            cut: sequences whose end was not observed.
        """
        factors = self.path_factors()
        if not self.ends:
            return factors
        end = jnp.where(cut, 1, factors.end[..., None])
        return factors._replace(end=jnp.where(lengths > 0, end, 0))

    # ---- states and pairs of states ------------------------------------------------------------

    def last_states(self, probabilities: Array, axis: int) -> Array:
        """Probabilities of states; those of pairs summed over the state before."""
        if self.order == 1:
            return probabilities
        axis = axis % probabilities.ndim
        shape = probabilities.shape
        pairs = (*shape[:axis], self.states + 1, self.states, *shape[axis + 1 :])
        return probabilities.reshape(pairs).sum(axis)

    def last_state(self, path: Array) -> Array:
        """States of a path; of pairs the last one."""
        return path if self.order == 1 else path % self.states

    def per_path_state(self, values: Array, axis: int) -> Array:
        """Values of the states, for every state of a path: of a pair those of its last state."""
        if self.order == 1:
            return values
        repeats = [1] * values.ndim
        repeats[axis] = self.states + 1
        return jnp.tile(values, repeats)

    def independent_posterior(self, probabilities: Array) -> PathPosterior:
        """The posterior in which the states of all steps are independent.

        Args:
            probabilities: of the states, ``(state, step, sequence)``.
        """
        after = jnp.concatenate([probabilities[:, 1:], jnp.zeros_like(probabilities[:, :1])], 1)
        states = probabilities
        if self.order == 2:
            states = _independent_pairs(probabilities)
            after = self.per_path_state(after, 0)
        k = self.states
        shape = (k, k) if self.order == 1 else (k + 1, k, k)
        return PathPosterior(states, states, after, jnp.ones(shape, probabilities.dtype))

    # ---- statistics and updates ----------------------------------------------------------------

    def expected_statistics(
        self, posterior: PathPosterior, lengths: Array, cut: Array
    ) -> Statistics:
        """Expected first states and transitions, by parameter, ``(component, ...)``.

        Args:
            posterior: of the paths, with a leading axis of components.
            lengths: steps of every sequence.
            cut: sequences whose end was not observed.
        """
        counts = jax.vmap(transitions)(posterior)
        if self.ends:
            ended = jax.vmap(endings, (0, None))(posterior, lengths)
            last = (ended * ~cut).sum(-1)
            counts = jnp.concatenate([counts, last.reshape(*counts.shape[:-1], 1)], axis=-1)
        first = self.last_states(posterior.states[:, :, 0], 1).sum(-1)
        if self.order == 1:
            return {"initial": first, "transition": counts}
        # of pairs the last "before" is none: what follows it is the second state
        return {"initial": first, "initial_transition": counts[:, -1], "transition": counts[:, :-1]}

    def expected_log_density(self, statistics: Statistics) -> Array:
        """``(component,)``."""
        dims = self.parameter_dims
        terms = [
            (statistics[name] * safe_log(value)).sum(range(-dims[name], 0))
            for name, value in self.parameters.items()
        ]
        return functools.reduce(operator.add, terms)

    def conditional(
        self, parameter: str, prior: Distribution | None, statistics: Statistics, *, shared: bool
    ) -> DirichletConditional | None:
        """The posterior of a parameter given the statistics: Dirichlet, as its prior is."""
        if prior is not None and not isinstance(prior, Dirichlet):
            return None
        counts = statistics[parameter].sum(0) if shared else statistics[parameter]
        return DirichletConditional((1.0 if prior is None else prior.concentration) + counts)

    # ---- one step, and draws -------------------------------------------------------------------

    def predict(self, states: Array) -> tuple[Array, Array]:
        """Probabilities of the next states ``(..., state)`` and of the end ``(...)``.

        Args:
            states: probabilities of the states of a path, ``(..., state)``.
        """
        if self.order == 1:
            after = matmul(states, self.transition)
            return after[..., :-1], after[..., -1]
        k, factors = self.states, self.path_factors()
        pairs = states.reshape(*states.shape[:-1], k + 1, k)
        after = einsum("...pi,pik->...ik", pairs, factors.step)
        after = after.reshape(*states.shape[:-1], k**2)
        none = jnp.zeros((*states.shape[:-1], k), after.dtype)
        return jnp.concatenate([after, none], -1), matmul(states, factors.end)

    def sample(self, keys: tuple[Array, Array], shape: tuple[int, ...], positions: int) -> Array:
        """Draw paths ``(position, *shape)``; K after an end.

        Args:
            keys: random keys of the first states and of the transitions.
            shape: of the paths, ending with the batch.
            positions: of a path.
        """
        start_key, step_key = keys
        k, factors, pairs = self.states, self.path_factors(), self.order == 2
        ending = (1 - factors.step.sum(-1, keepdims=True)).clip(0)
        table = jnp.concatenate([factors.step, ending if self.ends else 0 * ending], -1)
        # a uniform number falls between two of a row's running sums, the last being one
        upto = jnp.cumsum(table, -1)
        upto = (upto / upto[..., -1:])[..., :-1]
        upto = upto.reshape(*table.shape[: -1 - self.order], -1, k)
        upto = jnp.broadcast_to(upto, (*shape, *upto.shape[-2:]))
        first = random.categorical(start_key, safe_log(self.initial), shape=shape)

        def step(carry: tuple[Array, Array], uniform: Array) -> tuple[tuple[Array, Array], Array]:
            before, state = carry
            here = jnp.clip(state, 0, k - 1)
            index = before * k + here if pairs else here
            row = jnp.take_along_axis(upto, index[..., None, None], -2)[..., 0, :]
            after = (row <= uniform[..., None]).sum(-1, dtype=state.dtype)
            after = jnp.where(state == k, k, after)
            return (here, after), after

        uniforms = random.uniform(step_key, (positions - 1, *shape), upto.dtype)
        _, rest = lax.scan(step, (jnp.full_like(first, k), first), uniforms)
        return jnp.concatenate([first[None], rest])

    def continued(self, path: Array) -> MarkovChain:
        """The Markov chain that goes on from paths, its first state the last one of each path.

        Args:
            path: ``(sequence, position)``, -1 after the end of a sequence.
        """
        lengths = (path >= 0).sum(-1, keepdims=True)
        last = jnp.take_along_axis(path, lengths - 1, -1)
        initial = (last == jnp.arange(self.states)).astype(self.initial.dtype)
        if self.initial_transition is None:
            return MarkovChain(initial, self.transition)
        # the next step has a state before the last one, unless the sequence has one step alone
        before = jnp.take_along_axis(path, jnp.clip(lengths - 2, 0), -1)[:, 0]
        alone = (lengths < 2)[..., None]
        second = jnp.where(alone, self.initial_transition[0], self.transition[0][before])
        return MarkovChain(initial, self.transition, second)


def _independent_pairs(probabilities: Array) -> Array:
    """Probabilities ``(pair, step, sequence)`` of pairs whose two states are independent."""
    states = len(probabilities)
    none = jnp.zeros_like(probabilities[:, :1])
    before = jnp.concatenate([none, probabilities[:, :-1]], axis=1)
    first = (jnp.arange(probabilities.shape[1]) == 0)[:, None] * probabilities
    pairs = before[:, None] * probabilities[None]
    return jnp.concatenate([pairs.reshape(states**2, *probabilities.shape[1:]), first])
