"""A chain of tokens in which each depends on the last few, up to ``<end>``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpyro.distributions import Dirichlet, constraints

from ppl_models import memory
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import (
    ExponentialFamily,
    Statistics,
    broadcast_batch,
)
from ppl_models.distributions.gap_branches import by_gaps
from ppl_models.distributions.log_of_zero import safe_log
from ppl_models.distributions.sequences.autoregressive import Autoregressive
from ppl_models.distributions.sequences.infilling.marginal_chain import log_likelihood
from ppl_models.distributions.sequences.step_counts import (
    count_steps,
    in_pieces,
    kept_as_counts,
    square_root_shares,
)
from ppl_models.errors import InputError


class TokenChain(Autoregressive, ExponentialFamily):
    """Whole sequences: P(x) = initial[x_1] · Π transition[context_t, x_t+1], the last to ``<end>``.

    The context is the last token or, with ``order`` m, the last m tokens (fewer near the
    beginning). A datum is a row of codes ``0 .. V-1``, then V (``<end>``) to the end of the row.
    The probabilities of all finite sequences of at least one token add up to one. A missing token
    has the code -1 and is summed out; a sequence's length is always known.

    Contexts are numbered as the nodes of a tree: one token, two tokens, … m tokens, and within a
    length as a number to the base V. Nothing read yet is context 0, a token v read after context c
    is context ``c V + 1 + v``; of a context of m tokens the first is forgotten then. Row c - 1 of
    ``transition`` belongs to context c.

    Jurafsky and Martin (2009), Speech and Language Processing, chapter 4.

    Args:
        initial: ``batch + (V,)``.
        transition: ``batch + (context, V + 1)`` with V + V² + … + V^m contexts; the last column
            is the probability of ending.
        positions: number of positions of a datum, ``<end>`` included.
        order: m, how many tokens a context has.

    Raises:
        InputError: as many contexts as the order has not.

    >>> chain = TokenChain(jnp.array([0.3, 0.7]), jnp.full((2, 3), 1 / 3), positions=3)
    >>> round(float(jnp.exp(chain.log_prob(jnp.array([0, 2, 2])))), 4)  # 0.3 * 1/3
    0.1
    >>> chain = TokenChain(jnp.array([0.3, 0.7]), jnp.full((6, 3), 1 / 3), positions=3, order=2)
    >>> state = chain.read(chain.begin(()), jnp.array(1))
    >>> [round(p, 2) for p in jnp.exp(chain.following(state)).tolist()]
    [0.33, 0.33, 0.33]
    """

    parameter_dims = {"initial": 1, "transition": 2}
    conjugate_priors = {"initial": (Dirichlet,), "transition": (Dirichlet,)}
    component_picture = "transitions"
    factorises = False
    is_product_of_probabilities = True
    completes_all_rows = True
    points_on_one_scale = True
    most_combinations = sys.maxsize  # the table of transitions is as large as they are many
    data_description = "sequences of tokens"
    pytree_aux_fields = ("positions", "order")
    arg_constraints: ClassVar[dict[str, Any]] = {
        "initial": constraints.simplex,
        "transition": constraints.independent(constraints.simplex, 1),
    }

    def __init__(
        self,
        initial: Any,
        transition: Any,
        *,
        positions: int,
        order: int = 1,
        validate_args: bool | None = None,
    ):
        self.initial, self.transition = jnp.asarray(initial), jnp.asarray(transition)
        self.positions, self.order = int(positions), int(order)
        wanted = context_count(self.initial.shape[-1], self.order)
        if self.transition.shape[-2] != wanted:
            raise InputError(
                f"transition has {self.transition.shape[-2]} contexts: a chain of order {order} "
                f"over {self.initial.shape[-1]} tokens has {wanted}"
            )
        batch = broadcast_batch((self.initial, 1), (self.transition, 2))
        super().__init__(batch, (self.positions,), validate_args=validate_args)

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """A context of one token is that token."""
        context = "token" if self.order == 1 else "context"
        return {"initial": ("token",), "transition": (context, "next_token")}

    @property
    def tokens(self) -> int:  # type: ignore[override]
        """V, the size of the vocabulary without ``<end>``."""
        return self.initial.shape[-1]

    @property
    def support(self) -> Any:
        """Codes of tokens and of ``<end>``."""
        return constraints.independent(constraints.integer_interval(0, self.tokens), 1)

    def static_arguments(self) -> dict[str, Any]:
        """The number of positions, and the order."""
        return {"positions": self.positions, "order": self.order}

    # ---- contexts ----------------------------------------------------------------------------

    def begin(self, shape: tuple[int, ...]) -> Array:
        """The context of no token."""
        return jnp.zeros(shape, jnp.int32)

    def read(self, state: Array, token: Array) -> Array:
        """The context after one more token."""
        v, full = self.tokens, context_count(self.tokens, self.order - 1) + 1
        modulus = v ** (self.order - 1)
        # (a context of m tokens is a leaf of the tree: the first token is dropped)
        longest = full + ((state - full) % modulus) * v + token
        return jnp.where(state < full, state * v + 1 + token, longest).astype(jnp.int32)

    def following(self, state: Array) -> Array:
        """Log-probabilities of the next token; ``state`` has the batch axes last."""
        initial, transition = self.initial, self.transition
        if self.batch_shape:
            initial = jnp.broadcast_to(initial, self.batch_shape + initial.shape[-1:])
            transition = jnp.broadcast_to(transition, self.batch_shape + transition.shape[-2:])
        later = self._look_up(transition, jnp.clip(state - 1, 0)[..., None])[..., 0, :]
        start = jnp.concatenate([initial, jnp.zeros_like(initial[..., :1])], -1)
        return jnp.log(jnp.where((state == 0)[..., None], start, later))

    def following_each(self, value: Array) -> Array:
        """Log-probabilities at every position given all before.

        A batch of parameters goes before the position: ``batch + (position, V + 1)``, the batch
        broadcast with the rows of ``value (row, position)``.
        """
        return self._look_up(jnp.log(self._table()), self.contexts(value))

    def taken_each(self, value: Array) -> Array:
        """Log-probability of every token given all before, 0 after ``<end>``.

        Shaped as :meth:`following_each`, without its last axis.
        """
        cells = self._cells(value)
        table = jnp.log(self._table()).reshape(*self.batch_shape, -1)
        return self._look_up(jnp.concatenate([table, jnp.zeros_like(table[..., :1])], -1), cells)

    def _look_up(self, table: Array, places: Array) -> Array:
        """``table`` (the batch, then the place, then any axes) at ``places (row, position)``."""
        if not self.batch_shape:
            return table[places]
        shape = lax.broadcast_shapes(places.shape[:-1], self.batch_shape)
        event = table.shape[len(self.batch_shape) :]
        flat = jnp.broadcast_to(table, self.batch_shape + event).reshape(-1, *event)
        mine = jnp.arange(flat.shape[0]).reshape(self.batch_shape)
        mine = jnp.broadcast_to(mine, shape)[..., None]
        return flat[mine, jnp.broadcast_to(places, (*shape, places.shape[-1]))]

    def contexts(self, value: Array) -> Array:
        """The context before every position, as :meth:`read` numbers them; shape of ``value``."""
        v, order = self.tokens, self.order
        tokens = jnp.clip(jnp.asarray(value, jnp.int32), 0, v - 1)
        places = jnp.arange(value.shape[-1])
        numbers = jnp.zeros_like(tokens)
        for back in range(1, order + 1):
            earlier = jnp.roll(tokens, back, axis=-1)
            # the number to the base V, and one node for every shorter context
            numbers = numbers + jnp.where(places >= back, v ** (back - 1) * (earlier + 1), 0)
        return numbers

    def _table(self) -> Array:
        """What follows every context, the empty one first: ``batch + (context + 1, V + 1)``."""
        initial = jnp.broadcast_to(self.initial, self.batch_shape + self.initial.shape[-1:])
        start = jnp.concatenate([initial, jnp.zeros_like(initial[..., :1])], -1)[..., None, :]
        shape = self.batch_shape + self.transition.shape[-2:]
        return jnp.concatenate([start, jnp.broadcast_to(self.transition, shape)], -2)

    # ---- densities and statistics --------------------------------------------------------------

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """How often every cell of the table is looked up, or which cell every step looks up.

        Sequences with missing tokens are left as they are.
        """
        if missing:
            return value
        cells = self._cells(value)
        if kept_as_counts(self._spare, value.shape[-1]):
            return count_steps(cells, self._spare, self.initial.dtype)
        return cells

    def _cells(self, value: Array) -> Array:
        """Which cell of the table every step looks up, ``(sequence, position)``."""
        v = self.tokens
        value = jnp.asarray(value, jnp.int32)
        before = jnp.roll(value, 1, axis=-1).at[..., 0].set(0)
        cell = self.contexts(value) * (v + 1) + jnp.clip(value, 0, v)
        return jnp.where(before < v, cell, self._spare)  # after <end> nothing is looked up

    @property
    def _spare(self) -> int:
        """The cell of steps that are none."""
        return (context_count(self.tokens, self.order) + 1) * (self.tokens + 1)

    def lengths(self, value: np.ndarray) -> np.ndarray | None:
        """Tokens of every sequence and one ``<end>``, if there is one."""
        return np.minimum((value != self.tokens).sum(1) + 1, value.shape[1])

    def _has_missing(self, value: Any) -> bool | Array:
        return missing_cells(value).any()

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of whole sequences; missing tokens are summed out."""
        value = jnp.asarray(value)
        if not self._is_contraction(value):
            return self.pointwise(value)
        flat, centre = self.components(), jnp.zeros(())
        logits = by_gaps(
            jnp.asarray(self._has_missing(value)),
            lambda missing: flat.contract(value, missing=missing, centre=centre),
        )
        return logits.reshape(self.batch_shape[:-1] + (value.shape[0],))

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-probabilities ``(component, sequence)``."""
        if missing:
            each = lambda p: _with_gaps(p[0], p[1], prepared, self.order)  # noqa: E731
            return lax.map(each, (self.initial, self.transition))
        table = safe_log(self._table()).reshape(self.initial.shape[0], -1)
        if jnp.issubdtype(prepared.dtype, jnp.floating):
            return matmul(table, prepared.T)
        table = jnp.pad(table, ((0, 0), (0, 1)))
        pieces, rows = in_pieces(prepared, self._spare), prepared.shape[0]

        def component(row: Array) -> Array:
            add = lambda total, cells: (total + row[cells].sum(-1), None)  # noqa: E731
            return lax.scan(add, jnp.zeros(rows, row.dtype), pieces)[0]

        return lax.map(component, table)

    def impossible(self, prepared: Array, *, missing: bool, centre: Array) -> Array | None:
        """Whether a token, or the end, has probability zero at its position."""
        # what may occur counts 1, so that the logarithm of a sequence that may is not negative
        marked = {n: (getattr(self, n) > 0).astype(self.initial.dtype) for n in self.parameter_dims}
        logits = self.replace(**marked).logits(prepared, missing=missing, centre=centre)
        return logits < jnp.log(jnp.finfo(logits.dtype).tiny) / 2

    def pointwise(self, value: Array) -> Array:
        """Log-probability with any batch of parameters, by the recursion."""
        shape = lax.broadcast_shapes(value.shape[:-1], self.batch_shape)
        initial, transition, rows = self._by_row(value, shape)
        log_probs = jax.vmap(log_likelihood, (0, 0, 0, None))(initial, transition, rows, self.order)
        return log_probs.reshape(shape)

    def _by_row(self, value: Array, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Parameters and sequences, one a row."""
        parts = (self.initial, 1), (self.transition, 2), (jnp.asarray(value), 1)
        return tuple(  # type: ignore[return-value]
            jnp.broadcast_to(a, shape + a.shape[a.ndim - n :]).reshape(-1, *a.shape[a.ndim - n :])
            for a, n in parts
        )

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Counts ``initial (component, V)`` and ``transition (component, context, V + 1)``.

        Steps from and to tokens that are not known count as often as is expected of them, given
        the tokens on both sides: the gradient of the log-likelihood in the log-parameters.
        """
        if missing:
            return self._expected(weights, prepared)
        if jnp.issubdtype(prepared.dtype, jnp.floating):
            dense = matmul(weights, prepared).reshape(len(weights), -1, self.tokens + 1)
            return {"initial": dense[:, 0, : self.tokens], "transition": dense[:, 1:]}
        v, pieces = self.tokens, in_pieces(prepared, self._spare)

        def component(w: Array) -> Array:
            def add(counts: Array, cells: Array) -> tuple[Array, None]:
                return counts.at[cells].add(w[:, None]), None

            return lax.scan(add, jnp.zeros(self._spare + 1, w.dtype), pieces)[0][:-1]

        counts = lax.map(component, weights).reshape(weights.shape[0], -1, v + 1)
        return {"initial": counts[:, 0, :v], "transition": counts[:, 1:]}

    def _expected(self, weights: Array, value: Array) -> Statistics:
        def component(arguments: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            initial, transition, w = arguments

            def total(initial: Array, transition: Array) -> Array:
                return (w * _with_gaps(initial, transition, value, self.order)).sum()

            slope = jax.grad(total, (0, 1))(initial, transition)
            return initial * slope[0], transition * slope[1]

        statistics = lax.map(component, (self.initial, self.transition, weights))
        return dict(zip(self.parameter_dims, statistics, strict=True))

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """Numbers that a pass holds in memory for each sequence."""
        held = super().numbers_per_row(value, missing=missing)
        return held + missing * value.shape[1] * self.tokens**self.order

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        start = (statistics["initial"] * safe_log(self.initial)).sum(-1)
        return start + (statistics["transition"] * safe_log(self.transition)).sum((-1, -2))

    def conjugate_update(
        self, parameter: str, prior: Any, statistics: Statistics, centre: Array, *, shared: bool
    ) -> DirichletConditional:
        """Dirichlets."""
        counts = statistics[parameter].sum(0) if shared else statistics[parameter]
        return DirichletConditional((1.0 if prior is None else prior.concentration) + counts)

    # ---- tokens one by one, and draws ---------------------------------------------------------

    @property
    def memory(self) -> int:  # type: ignore[override]
        """How many tokens the next one depends on."""
        return self.order

    def following_one(self, state: Array, token: Array) -> Array:
        """Log-probability of one next token."""
        if self.batch_shape:
            return super().following_one(state, token)
        return jnp.log(self._table()[state, token])

    def start_points(self, value: Array) -> Array:
        """Square roots of every sequence's shares of steps, by context and next token.

        Where there are very many kinds of steps, the shares are those of tokens.
        """
        tokens = jnp.asarray(value, jnp.int32)
        if self._spare > memory.PROFILE_CELLS:
            return square_root_shares(count_steps(tokens, self.tokens, float))
        before = jnp.roll(tokens, 1, axis=-1).at[..., 0].set(0)
        known = (tokens >= 0) & (before >= 0)
        steps = jnp.where(known, self._cells(tokens), self._spare)
        return square_root_shares(count_steps(steps, self._spare, float))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (positions,)``, cut where no ``<end>`` came in time."""
        return self.sample_sequences(key, sample_shape + self.batch_shape)


def context_count(tokens: int, order: int) -> int:
    """Contexts of one token up to ``order`` tokens.

    See the numbering of contexts in `TokenChain`; Jurafsky and Martin (2009), chapter 4.

    >>> context_count(26, 1), context_count(2, 3)
    (26, 14)
    """
    return sum(tokens**length for length in range(1, order + 1))


def context_names(tokens: Sequence[str], contexts: int) -> list[str]:
    """Names of so many contexts in their order: the tokens one after the other.

    >>> context_names(["a", "b"], 6)
    ['a', 'b', 'aa', 'ab', 'ba', 'bb']
    """
    between = "" if all(len(token) == 1 for token in tokens) else " "
    names: list[str] = []
    length = 1
    while len(names) < contexts:
        names += [between.join(parts) for parts in product(tokens, repeat=length)]
        length += 1
    return names


def _with_gaps(initial: Array, transition: Array, value: Array, order: int) -> Array:
    """Log-probabilities ``(sequence,)`` under one chain, missing tokens summed out."""
    size = max(1, memory.RECURSION_NUMBERS // initial.shape[-1] ** order)
    each = lambda tokens: log_likelihood(initial, transition, tokens, order)  # noqa: E731
    return lax.map(each, value, batch_size=size)
