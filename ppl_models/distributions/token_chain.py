"""A first-order chain of tokens that ends at ``<end>``."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.distributions import Dirichlet, Distribution, constraints

from .bernoulli import safe_log
from .conditionals import DirichletConditional
from .exponential_family import ExponentialFamily, Statistics, broadcast_batch

MISSING_TOKEN = -1  #: code of a token that is not known


class TokenChain(ExponentialFamily):
    """Whole sequences: P(x) = initial[x1] · Π transition[x_t, x_t+1], the last step to ``<end>``.

    A datum is a row of codes ``0 .. V-1``, then V (``<end>``) to the end of the row. The
    probabilities of all finite sequences of at least one token add up to one. A missing token has
    the code -1 and is summed out; a sequence's length is always known.

    Args:
        initial: ``batch + (V,)``.
        transition: ``batch + (V, V + 1)``; the last column is the probability of ending.
        positions: number of positions of a datum, ``<end>`` included.

    >>> chain = TokenChain(jnp.array([0.3, 0.7]), jnp.full((2, 3), 1 / 3), positions=3)
    >>> round(float(jnp.exp(chain.log_prob(jnp.array([0, 2, 2])))), 4)  # 0.3 * 1/3
    0.1
    """

    parameter_dims = {"initial": 1, "transition": 2}
    factorises = False
    expects_missing = False  # a step from or to a missing token is left out
    data_description = "sequences of tokens"
    pytree_aux_fields = ("positions",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "initial": constraints.simplex,
        "transition": constraints.independent(constraints.simplex, 1),
    }

    def __init__(
        self, initial: Any, transition: Any, *, positions: int, validate_args: bool | None = None
    ):
        self.initial, self.transition = jnp.asarray(initial), jnp.asarray(transition)
        self.positions = int(positions)
        batch = broadcast_batch((self.initial, 1), (self.transition, 2))
        super().__init__(batch, (self.positions,), validate_args=validate_args)

    @property
    def tokens(self) -> int:
        """V, the size of the vocabulary without ``<end>``."""
        return self.initial.shape[-1]

    @property
    def support(self) -> Any:
        """Codes of tokens and of ``<end>``."""
        return constraints.independent(constraints.integer_interval(0, self.tokens), 1)

    def static_arguments(self) -> dict[str, Any]:
        """The number of positions."""
        return {"positions": self.positions}

    def _has_missing(self, value: Any) -> bool | Array:
        return (value == MISSING_TOKEN).any()

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of whole sequences; missing tokens are summed out."""
        value = jnp.asarray(value)
        if self._is_contraction(value):
            flat = self.components()
            logits = flat.contract(value, missing=True, centre=jnp.zeros(()))
            return logits.reshape(self.batch_shape[:-1] + (value.shape[0],))
        return self.pointwise(value)

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-probabilities ``(component, sequence)``."""
        value = prepared
        known = lambda: self._known(value)  # noqa: E731
        if not missing:
            return known()
        summed = lambda: jax.vmap(_forward_all, (0, 0, None))(  # noqa: E731
            self.initial, self.transition, value
        )
        return lax.cond(self._has_missing(value), summed, known)

    def _known(self, value: Array) -> Array:
        """Sum the logarithms of the steps taken, one position at a time in bounded memory."""
        start, step = safe_log(self.initial), safe_log(self.transition)
        v = self.tokens
        logits = jnp.take(start, jnp.clip(value[:, 0], 0, v - 1), axis=1)
        flat = step.reshape(step.shape[0], -1)

        def advance(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
            before, after = pair
            index = jnp.clip(before, 0, v - 1) * (v + 1) + jnp.clip(after, 0, v)
            return total + jnp.where(before < v, jnp.take(flat, index, axis=1), 0), None

        return lax.scan(advance, logits, (value[:, :-1].T, value[:, 1:].T))[0]

    def pointwise(self, value: Array) -> Array:
        """Log-probability with any batch of parameters, by the forward recursion."""
        shape = lax.broadcast_shapes(value.shape[:-1], self.batch_shape)
        v = self.tokens
        rows = jnp.broadcast_to(value, (*shape, value.shape[-1])).reshape(-1, value.shape[-1])
        initial = jnp.broadcast_to(self.initial, (*shape, v)).reshape(-1, v)
        transition = jnp.broadcast_to(self.transition, (*shape, v, v + 1)).reshape(-1, v, v + 1)
        return jax.vmap(_forward)(initial, transition, rows).reshape(shape)

    def sums(self, weights: Array, prepared: Array, *, missing: bool, centre: Array) -> Statistics:
        """Counts ``initial (component, V)`` and ``transition (component, V, V + 1)``."""
        v, value = self.tokens, prepared
        rows, positions = value.shape
        before, after = value[:, :-1].reshape(-1), value[:, 1:].reshape(-1)
        # steps after <end>, and those from or to a token that is not known, fall off the table
        known = (before < v) & (before >= 0) & (after >= 0)
        index = jnp.where(known, before * (v + 1) + after, v * (v + 1))

        def component(w: Array) -> tuple[Array, Array]:
            initial = jax.ops.segment_sum(w, value[:, 0], v)
            each = jnp.broadcast_to(w[:, None], (rows, positions - 1)).reshape(-1)
            steps = jax.ops.segment_sum(each, index, v * (v + 1) + 1)
            return initial, steps[:-1].reshape(v, v + 1)

        initial, transition = lax.map(component, weights)
        return {"initial": initial, "transition": transition}

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        start = (statistics["initial"] * safe_log(self.initial)).sum(-1)
        return start + (statistics["transition"] * safe_log(self.transition)).sum((-1, -2))

    def maximum_likelihood(self, statistics: Statistics, centre: Array) -> dict[str, Array]:
        """Shares of the counts; equal in a row that was never left."""
        return {n: DirichletConditional(1 + statistics[n]).mode() for n in self.parameter_dims}

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Dirichlets."""
        if prior is not None and not isinstance(prior, Dirichlet):
            return None
        counts = statistics[parameter].sum(0) if shared else statistics[parameter]
        return DirichletConditional((1.0 if prior is None else prior.concentration) + counts)

    def complete(self, key: Array, value: Array) -> Array:
        """Draw missing tokens given all others: forward filter, backward sample."""
        rows = value.reshape(-1, value.shape[-1])
        v = self.tokens
        shape = value.shape[:-1]
        initial = jnp.broadcast_to(self.initial, (*shape, v)).reshape(-1, v)
        transition = jnp.broadcast_to(self.transition, (*shape, v, v + 1)).reshape(-1, v, v + 1)
        keys = random.split(key, rows.shape[0])
        return jax.vmap(_draw_missing)(keys, initial, transition, rows).reshape(value.shape)

    def features(self, value: Array) -> Array:
        """Shares of the tokens in every sequence."""
        counts = jax.nn.one_hot(value, self.tokens).sum(1)
        return counts / jnp.clip(counts.sum(-1, keepdims=True), 1)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (positions,)``, cut where no ``<end>`` came in time."""
        shape = sample_shape + self.batch_shape
        v = self.tokens
        keys = random.split(key, self.positions)
        start = random.categorical(keys[0], safe_log(self.initial), shape=shape)
        table = jnp.broadcast_to(safe_log(self.transition), (*shape, v, v + 1))

        def step(token: Array, key: Array) -> tuple[Array, Array]:
            row = jnp.take_along_axis(table, jnp.clip(token, 0, v - 1)[..., None, None], axis=-2)
            following = random.categorical(key, row[..., 0, :])
            following = jnp.where(token == v, v, following)
            return following, following

        _, rest = lax.scan(step, start, keys[1:])
        return jnp.concatenate([start[..., None], jnp.moveaxis(rest, 0, -1)], -1).astype(jnp.int32)


def _filter(initial: Array, transition: Array, tokens: Array) -> tuple[Array, Array]:
    """Filtered distributions over tokens and <end> ``(positions, V + 1)``, and log P(observed)."""
    v = initial.shape[-1]
    dtype = initial.dtype
    absorbing = jnp.zeros((1, v + 1), dtype).at[0, v].set(1)
    step = jnp.concatenate([transition, absorbing])
    code = jnp.arange(v + 1)

    def allowed(token: Array) -> Array:  # the length is known, so a missing token is not <end>
        missing = (token == MISSING_TOKEN) & (code < v)
        return ((code == token) | missing).astype(dtype)

    def advance(state: tuple[Array, Array], token: Array) -> tuple[tuple[Array, Array], Array]:
        probs, total = state
        joint = (probs @ step) * allowed(token)
        scale = joint.sum()
        safe = jnp.clip(scale, jnp.finfo(dtype).tiny)
        return (joint / safe, total + jnp.log(safe)), joint / safe

    first = jnp.append(initial, 0) * allowed(tokens[0])
    scale = jnp.clip(first.sum(), jnp.finfo(dtype).tiny)
    carry = (first / scale, jnp.log(scale))
    (_, total), rest = lax.scan(advance, carry, tokens[1:])
    return jnp.concatenate([carry[0][None], rest]), total


def _forward(initial: Array, transition: Array, tokens: Array) -> Array:
    """Log-probability of one sequence, missing tokens summed out."""
    return _filter(initial, transition, tokens)[1]


def _forward_all(initial: Array, transition: Array, value: Array) -> Array:
    return jax.vmap(_forward, (None, None, 0))(initial, transition, value)


def _draw_missing(key: Array, initial: Array, transition: Array, tokens: Array) -> Array:
    """One draw of a sequence's missing tokens."""
    filtered, _ = _filter(initial, transition, tokens)
    v = initial.shape[-1]
    absorbing = jnp.zeros((1, v + 1), initial.dtype).at[0, v].set(1)
    step = jnp.concatenate([transition, absorbing])
    keys = random.split(key, tokens.shape[0])

    def back(following: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        key, probs = pair
        token = random.categorical(key, safe_log(probs * step[:, following]))
        return token, token

    last = random.categorical(keys[-1], safe_log(filtered[-1]))
    _, rest = lax.scan(back, last, (keys[:-1], filtered[:-1]), reverse=True)
    return jnp.append(rest, last).astype(tokens.dtype)
