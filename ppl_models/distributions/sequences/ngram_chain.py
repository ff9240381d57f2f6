"""Chains of any order over large vocabularies, by backing off from long contexts to short ones."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.distributions import Distribution, constraints
from numpyro.util import is_prng_key

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.sequences.autoregressive import Autoregressive, State
from ppl_models.distributions.sequences.ngrams import Ngrams

BEFORE = -1  #: what is remembered of the time before a sequence began
BLOCK = 128  #: entries of a context that are added at once


class NgramChain(Autoregressive, Distribution):
    """Whole sequences; each token depends on the ``order - 1`` before it.

        P(w | u) = discounted[u, w] + backoff[u] P(w | u without its token furthest back),

    and 1 / (V + 1) below the empty context; a context that was never seen passes on to the shorter
    one. Kneser-Ney smoothing and the predictive distribution of a hierarchical Pitman-Yor process
    both have this form. The probabilities of all finite sequences add up to one, the empty one
    being among them: ``<end>`` backs off from ``<start>`` as any other token does.

    Args:
        seen: contexts and entries.
        discounted: ``(entry,)``.
        backoff: ``(context,)``; with the context's discounted probabilities it adds up to one.
        positions: of a row, ``<end>`` included.

    >>> from ppl_models.distributions.sequences.ngrams import count_ngrams
    >>> seen = count_ngrams(jnp.array([[0, 1, 2], [0, 2, 2]]), vocabulary=2, order=1)
    >>> chain = NgramChain(seen, *smoothed(seen, jnp.ones(2), [0.0], [0.0]), positions=3)
    >>> round(float(jnp.exp(chain.log_prob(jnp.array([0, 1, 2])))), 3)  # 2/5 · 1/5 · 2/5
    0.032
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("seen", "discounted", "backoff")
    pytree_aux_fields = ("positions",)
    data_description = "sequences of tokens"
    needs_whole_rows = True
    #: more than other chains enumerate: a context is a row of a sparse table, and no network
    most_combinations = 4_000_000
    particles = 128

    def __init__(
        self,
        seen: Ngrams,
        discounted: Any,
        backoff: Any,
        *,
        positions: int,
        validate_args: bool | None = None,
    ):
        self.seen: Ngrams = jax.tree.map(jnp.asarray, seen)
        self.discounted, self.backoff = jnp.asarray(discounted), jnp.asarray(backoff)
        self.positions = int(positions)
        super().__init__((), (self.positions,), validate_args=validate_args)

    @property
    def tokens(self) -> int:  # type: ignore[override]
        """V, the size of the vocabulary without ``<end>``."""
        return self.seen.vocabulary

    @property
    def support(self) -> Any:
        """Codes of tokens and of ``<end>``."""
        return constraints.independent(constraints.integer_interval(0, self.tokens), 1)

    # ---- densities ---------------------------------------------------------------------------

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of whole sequences ``(..., position)``; NaN where a token is missing."""
        return self.steps(jnp.asarray(value)).sum(-1)

    def steps(self, value: Array) -> Array:
        """Log-probability of every token given those before, 0 after the first ``<end>``.

        Args:
            value: codes ``(..., position)``.
        """
        value = value.astype(jnp.int32)
        probability = self._probability(self._recent(value), value)
        before = jnp.concatenate([jnp.zeros_like(value[..., :1]), value[..., :-1]], -1)
        missing = jnp.where(missing_cells(value), jnp.nan, 0)
        return jnp.where(before < self.tokens, jnp.log(probability) + missing, 0)

    def taken_each(self, value: Array) -> Array:
        """As :meth:`steps`: one number a cell, and no table of all tokens."""
        return self.steps(value)

    def _recent(self, value: Array) -> Array:
        """The tokens before every position, the nearest first, ``(..., position, order - 1)``."""
        back = self.seen.order - 1
        first = jnp.full((*value.shape[:-1], back), BEFORE, jnp.int32)
        if back:
            first = first.at[..., -1].set(self.tokens)  # <start> has the code of <end>
        line = jnp.concatenate([first, value[..., :-1]], -1)
        size = value.shape[-1]
        shifts = [line[..., back - 1 - i : back - 1 - i + size] for i in range(back)]
        return jnp.stack(shifts, -1) if shifts else jnp.zeros((*value.shape, 0), jnp.int32)

    @property
    def memory(self) -> int:  # type: ignore[override]
        """How many tokens the next one depends on."""
        return self.seen.order - 1

    # ---- one token after the other -----------------------------------------------------------

    def begin(self, shape: tuple[int, ...]) -> State:
        """The tokens before, the nearest first, ``shape + (order - 1,)``."""
        recent = jnp.full((*shape, self.seen.order - 1), BEFORE, jnp.int32)
        return recent.at[..., :1].set(self.tokens)

    def read(self, state: State, token: Array) -> State:
        """The state after one more token."""
        token = token.astype(jnp.int32)[..., None]
        return jnp.concatenate([token, state], -1)[..., : self.seen.order - 1]

    def following_one(self, state: State, token: Array) -> Array:
        """Log-probability of one next token, ``shape``."""
        return jnp.log(self._probability(state, token))

    def _probability(self, recent: Array, token: Array) -> Array:
        """Of tokens after those before them ``(..., order - 1)``, the nearest first."""
        probability = jnp.full(token.shape, 1 / (self.tokens + 1), self.discounted.dtype)
        for context in self.seen.contexts(recent):
            entry = self.seen.entry(context, token)
            probability_here = jnp.where(entry < 0, 0, self.discounted[entry])
            shorter = self.backoff[jnp.clip(context, 0)] * probability
            probability = jnp.where(context < 0, probability, probability_here + shorter)
        return probability

    def following(self, state: State) -> Array:
        """Log-probabilities of the next token, ``shape + (V + 1,)``."""
        shape = state.shape[:-1]
        contexts = [c.reshape(-1) for c in self.seen.contexts(state)]
        alone = self.seen.token[: self.seen.alone]
        empty = jnp.full(self.tokens + 1, self.backoff[0] / (self.tokens + 1))
        empty = empty.at[alone].add(self.discounted[: self.seen.alone])
        probability = jnp.broadcast_to(empty, (contexts[0].size, self.tokens + 1))
        for context in contexts[1:]:
            probability = self._longer(context, probability)
        return jnp.log(probability).reshape(*shape, self.tokens + 1)

    def _longer(self, context: Array, probability: Array) -> Array:
        """From the probabilities after shorter contexts to those after longer ones, if seen."""
        known = context >= 0
        place = jnp.clip(context, 0)
        backoff = jnp.where(known, self.backoff[place], 1)
        start = self.seen.entries[place]
        stop = jnp.where(known, self.seen.entries[place + 1], start)
        rows = jnp.arange(context.size)[:, None]

        def more(carry: tuple[Array, Array]) -> Array:
            return (start + carry[0] * BLOCK < stop).any()

        def add(carry: tuple[Array, Array]) -> tuple[Array, Array]:
            block, probabilities = carry
            entry = (start + block * BLOCK)[:, None] + jnp.arange(BLOCK)
            inside = entry < stop[:, None]
            entry = jnp.where(inside, entry, 0)
            probability_here = jnp.where(inside, self.discounted[entry], 0)
            return block + 1, probabilities.at[rows, self.seen.token[entry]].add(probability_here)

        begun = (jnp.zeros((), jnp.int32), probability * backoff[:, None])
        return lax.while_loop(more, add, begun)[1]

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + (positions,)``, cut where no ``<end>`` came in time.

        A context's entry is drawn, or with probability ``backoff`` the shorter context is asked:
        nothing as long as the vocabulary is made.
        """
        assert is_prng_key(key)
        upto = _sums_within(self.discounted, self.seen.entries[self.seen.within])

        def step(carry: tuple[State, Array], key: Array) -> tuple[tuple[State, Array], Array]:
            state, over = carry
            token = jnp.where(over, self.tokens, self._draw(key, state, upto))
            over = over | (token == self.tokens)
            return (self.read(state, token), over), token

        begun = (self.begin(sample_shape), jnp.zeros(sample_shape, bool))
        drawn = lax.scan(step, begun, random.split(key, self.positions))[1]
        return jnp.moveaxis(drawn, 0, -1).astype(jnp.int32)

    def _draw(self, key: Array, state: State, upto: Array) -> Array:
        """The next token."""
        shape = state.shape[:-1]
        keys = random.split(key, self.seen.order + 1)
        token = random.randint(keys[-1], shape, 0, self.tokens + 1)
        for key, context in zip(keys[:-1], self.seen.contexts(state), strict=True):
            place = jnp.clip(context, 0)
            start, stop = self.seen.entries[place], self.seen.entries[place + 1]
            u = random.uniform(key, shape, self.discounted.dtype)
            here = (context >= 0) & (u < upto[stop - 1])
            entry = jnp.clip(_first_above(upto, start, stop, u), start, stop - 1)
            token = jnp.where(here, self.seen.token[entry], token)
        return token


def smoothed(seen: Ngrams, tables: Any, discount: Any, concentration: Any) -> tuple[Array, Array]:
    """Discounted and backed-off probabilities of `NgramChain`, from a seating arrangement.

        discounted[u, w] = (c_uw - d t_uw) / (θ + c_u),   backoff[u] = (θ + d t_u) / (θ + c_u)

    with customers c, tables t, and d and θ of the context's length. One table everywhere and θ = 0
    is interpolated Kneser-Ney smoothing; with three discounts, modified Kneser-Ney smoothing
    (Chen and Goodman 1999): the first is for entries of one customer, the second of two, the third
    of more.

    Args:
        seen: contexts and entries.
        tables: ``(repeated,)``, of the entries that occurred more than once.
        discount: ``(order,)``, or ``(order, 3)`` where every entry has one table.
        concentration: ``(order,)``.
    """
    seen = jax.tree.map(jnp.asarray, seen)
    discount, concentration = jnp.asarray(discount, float), jnp.asarray(concentration, float)
    served = seen.all_tables(tables)
    customers = seen.customers(served)
    length = seen.length[seen.within]
    if discount.ndim == 2:
        which = jnp.clip(customers.astype(jnp.int32), 1, discount.shape[1]) - 1
        removed = discount[length, which]
    else:
        removed = discount[length] * served
    contexts = seen.back.shape[0]
    theta = concentration[seen.length]
    total = theta + jax.ops.segment_sum(customers, seen.within, contexts, indices_are_sorted=True)
    passed = theta + jax.ops.segment_sum(removed, seen.within, contexts, indices_are_sorted=True)
    return (customers - removed) / total[seen.within], passed / total


def _sums_within(values: Array, start: Array) -> Array:
    """Running sums that begin anew at every context, exact in single precision too."""
    begins = start == jnp.arange(values.shape[0])

    def join(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        total = jnp.where(right[1], right[0], left[0] + right[0])
        return total, left[1] | right[1]

    return lax.associative_scan(join, (values, begins))[0]


def _first_above(upto: Array, start: Array, stop: Array, u: Array) -> Array:
    """The first place from start to stop whose running sum exceeds u."""
    last = upto.shape[0] - 1

    def halve(_: int, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = pair
        middle = (low + high) // 2
        right = (upto[jnp.clip(middle, 0, last)] <= u) & (low < high)
        return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    return lax.fori_loop(0, max(last, 1).bit_length() + 1, halve, (start, stop))[0]
