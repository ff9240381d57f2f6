"""Sequences of tokens written along a hidden chain of states, up to ``<end>``."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, random
from numpyro.distributions import constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.categorical import CategoricalVector
from ppl_models.distributions.hmm.hidden_markov import HiddenMarkov
from ppl_models.distributions.hmm.sequence_format import UpToEnd
from ppl_models.distributions.log_of_zero import safe_log
from ppl_models.distributions.sequences.autoregressive import Autoregressive
from ppl_models.distributions.sequences.infilling.combinations import GapWindow


class Belief(NamedTuple):
    """Of the next step: P(state) ``shape + (state,)`` and P(end) ``shape``, adding up to one.

    Of second order a state is a pair ``before × K + here``, with ``before`` K if there is none.
    """

    states: Array
    end: Array


class HiddenTokenChain(HiddenMarkov, Autoregressive):  # type: ignore[override]
    """Whole sequences: a hidden chain of states, each with its own probabilities of tokens.

    A datum is a row of codes 0 … V-1, then V (``<end>``) to the end of the row. The probabilities
    of all finite sequences of at least one token add up to one. A missing token has the code -1
    and is summed out; a sequence's length is always known.

    Rabiner (1989), A tutorial on hidden Markov models and selected applications.

    Args:
        initial: ``batch + (state,)``.
        transition: ``batch + (state, state + 1)``; the last column is the probability of ending.
        probs: of the tokens, ``batch + (state, V)``.
        positions: number of positions of a datum, ``<end>`` included.
        initial_transition: of second order, what follows the first state, ``batch + (state,
            state + 1)``; ``transition`` then has one axis of states more.

    Raises:
        InputError: ``initial_transition`` and ``transition`` that do not fit.

    >>> chain = HiddenTokenChain(
    ...     jnp.array([1.0, 0.0]), jnp.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]), jnp.eye(2),
    ...     positions=3,
    ... )
    >>> round(float(jnp.exp(chain.log_prob(jnp.array([0, 1, 2])))), 4)  # 0.5 * 0.5
    0.25
    """

    data_description = "sequences of tokens"

    fills_in = True
    most_probable = Autoregressive.most_probable

    def __init__(
        self,
        initial: Any,
        transition: Any,
        probs: Any,
        *,
        positions: int,
        initial_transition: Any = None,
        validate_args: bool | None = None,
    ):
        levels = (jnp.shape(probs)[-1],)
        super().__init__(
            initial,
            transition,
            CategoricalVector(probs, levels, validate_args=False),
            positions=positions,
            initial_transition=initial_transition,
            validate_args=validate_args,
        )
        self._event_shape = (self.positions,)

    @property
    def tokens(self) -> int:  # type: ignore[override]
        """V, the size of the vocabulary without ``<end>``."""
        return self.emission.levels[0]

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """The levels that a state emits are tokens."""
        return {**super().parameter_axes, "probs": ("state", "token")}

    @property
    def support(self) -> Any:
        """Codes of tokens and of ``<end>``."""
        return constraints.independent(constraints.integer_interval(0, self.tokens), 1)

    @property
    def sequences(self) -> UpToEnd:
        """A row of tokens up to ``<end>``."""
        return UpToEnd(self.tokens)

    def replace(self, **parameters: Array) -> HiddenTokenChain:
        """The same model with other parameters."""
        own = {n: parameters.get(n, getattr(self, n)) for n in self.parameter_dims}
        return HiddenTokenChain(**own, positions=self.positions, validate_args=False)

    def start_points(self, value: Array) -> Array:
        """Steps as indicators of their tokens."""
        return jax.nn.one_hot(self._emissions.steps(value)[:, 0], self.tokens)

    # ---- draws -------------------------------------------------------------------------------

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (positions,)``, cut where no ``<end>`` came in time."""
        drawn = self.sample_with_path(key, sample_shape)[0][..., 0]
        return jnp.where(drawn < 0, self.tokens, drawn).astype(jnp.int32)

    def complete(self, key: Array, value: Array, window: GapWindow | None = None) -> Array:
        """Draw missing tokens given all others: a path by backward sampling, then tokens."""
        path_key, cell_key = random.split(key)
        rows = value.reshape(-1, self.positions)
        probs = self.emissions_along(self.paths(rows, path_key)).probs
        drawn = random.categorical(cell_key, safe_log(probs)).T
        return jnp.where(missing_cells(rows), drawn, rows).astype(value.dtype).reshape(value.shape)

    # ---- token by token ----------------------------------------------------------------------

    def begin(self, shape: tuple[int, ...]) -> Belief:
        """Nothing read: the first state's distribution."""
        states = self.markov_chain.path_factors().initial
        states = jnp.broadcast_to(states, (*shape, *states.shape[-1:]))
        return Belief(states, jnp.zeros(shape, states.dtype))

    def following(self, state: Belief) -> Array:
        """Log-probabilities of the next token or ``<end>``."""
        tokens = matmul(self.markov_chain.last_states(state.states, -1), self.probs)
        following = jnp.concatenate([tokens, state.end[..., None]], -1)
        return jnp.where(following > 0, safe_log(following), -jnp.inf)

    def read(self, state: Belief, token: Array) -> Belief:
        """Condition the states on the token, and step."""
        emitted = self.markov_chain.per_path_state(jnp.moveaxis(self.probs, -1, 0)[token], -1)
        joint = state.states * emitted
        total = joint.sum(-1, keepdims=True)
        return Belief(*self.markov_chain.predict(joint / jnp.where(total > 0, total, 1)))
