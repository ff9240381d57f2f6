"""One contract for everything that is written token by token: P(x₁) P(x₂ | x₁) … up to ``<end>``.

A Markov chain, a hidden Markov model over tokens, a recurrent network and a raster scan of pixels
differ in what they remember of the tokens read; what they do with it is the same.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.described import Described
from ppl_models.distributions.sequences.infilling.combinations import GapWindow
from ppl_models.distributions.sequences.infilling.fill import fill

State = Any  #: what is remembered of the tokens read: a pytree of arrays, leading axes ``shape``


class Autoregressive(Described):
    """What a distribution of sequences serves besides NumPyro's interface.

    A sequence is a row of codes 0 … V-1, then V (``<end>``) to the end of the row. With ``ends``
    false there is no ``<end>``: every row has all its ``positions`` (pixels).

    Bengio and Bengio (2000), Modeling high-dimensional discrete data with multi-layer neural
    networks; Bishop (2006), §13.1.

    >>> from ppl_models.distributions import LogisticScan
    >>> scan = LogisticScan(jnp.zeros((4, 4)), jnp.zeros(4))
    >>> jnp.exp(scan.following(scan.begin(()))).tolist()  # of the first bit
    [0.5, 0.5]
    """

    tokens: int  #: V
    positions: int  #: of a row, ``<end>`` included
    ends: bool = True
    needs_whole_rows: bool = False  #: whether a row with a gap has no density
    memory: int | None = None  #: how many tokens the next one depends on at most; None: on all
    seen: Any = None  #: sparse counts of n-grams that tokens are predicted from, if they are
    writes_graphs: ClassVar[bool] = False  #: whether a row is a graph, written bit by bit
    fills_in: ClassVar[bool] = True  #: whether gaps have a most probable filling
    #: of unknown tokens that are remembered together: beyond so many, particles draw fillings
    most_combinations: ClassVar[int] = 20_000
    particles: ClassVar[int] = 32  #: of a row

    def begin(self, shape: tuple[int, ...]) -> State:
        """Nothing read yet, for ``shape`` sequences."""
        raise NotImplementedError

    def following(self, state: State) -> Array:
        """Log-probabilities of the next token, ``shape + (V + 1,)``; ``(V,)`` without an end.

        The first token is never ``<end>`` where empty sequences have no probability.
        """
        raise NotImplementedError

    def following_one(self, state: State, token: Array) -> Array:
        """Log-probability of one next token, ``<end>`` being one, ``shape``.

        Programs that need no table of all tokens for it should do better.
        """
        return jnp.take_along_axis(self.following(state), token[..., None], -1)[..., 0]

    def read(self, state: State, token: Array) -> State:
        """One token further: codes 0 … V-1, ``shape``."""
        raise NotImplementedError

    # ---- gaps --------------------------------------------------------------------------------

    def complete(self, key: Array, value: Array, window: GapWindow | None = None) -> Array:
        """Draw missing tokens given all that are known.

        Exact where the gaps' combinations can be counted, or where nothing known follows them; by
        particles else.

        Args:
            key: random key.
            value: codes ``(row, position)``, gaps NaN or negative.
            window: of the gaps, where the rows are not known yet.
        """
        return fill(self, value, window, key)

    def most_probable(self, value: Array, window: GapWindow | None = None) -> Array:
        """The most probable missing tokens given all that are known, together.

        Raises:
            InputError: too many combinations.
        """
        return fill(self, value, window)

    # ---- whole rows --------------------------------------------------------------------------

    def following_each(self, value: Array) -> Array:
        """Log-probabilities at every position given all before, ``(row, position, V + 1)``.

        Positions after ``<end>`` hold what would follow if ``<end>`` were the last token again.
        Programs that see all positions at once (networks) should do better than this loop.
        """
        last = self.tokens - 1

        def step(state: State, token: Array) -> tuple[State, Array]:
            return self.read(state, jnp.clip(token, 0, last)), self.following(state)

        return jnp.moveaxis(lax.scan(step, self.begin(value.shape[:1]), value.T)[1], 0, 1)

    def taken_each(self, value: Array) -> Array:
        """Log-probability of every token given all before, 0 after ``<end>``: ``(row, position)``.

        They add up to the log-probability of the row. Programs that need no table of all tokens
        for it should do better.
        """
        return steps_taken(self.following_each(value), value, self.tokens)

    def sample_sequences(
        self,
        key: Array,
        shape: tuple[int, ...],
        change: Any = lambda log_probs: log_probs,
        prefix: Array | None = None,
    ) -> Array:
        """Draw ``shape + (positions,)`` codes.

        Args:
            key: random key.
            shape: of the sequences.
            change: what becomes of the log-probabilities before a token is drawn.
            prefix: codes ``(n,)`` or ``shape + (n,)`` that all sequences begin with.
        """
        state = self.begin(shape)
        prefix_length = 0 if prefix is None else prefix.shape[-1]
        fixed = [] if prefix is None else [jnp.broadcast_to(prefix, (*shape, prefix_length))]
        if prefix_length:  # a loop, however long it is
            places = jnp.moveaxis(fixed[0], -1, 0)
            state = lax.scan(lambda s, token: (self.read(s, token), None), state, places)[0]
        end = self.tokens if self.ends else self.tokens + 1

        left = self.positions - prefix_length
        keys = random.split(key, left)

        def going(carry: tuple[Array, State, Array, Array]) -> Array:
            place, _, over, _ = carry
            return (place < left) & ~over.all()

        def step(carry: tuple[Array, State, Array, Array]) -> tuple[Array, State, Array, Array]:
            place, state, over, written = carry
            token = random.categorical(keys[place], change(self.following(state)))
            token = jnp.where(over, end, token).astype(jnp.int32)
            over = over | (token == end)
            state = self.read(state, jnp.clip(token, 0, self.tokens - 1))
            return place + 1, state, over, written.at[place].set(token)

        # nothing is done any more when all have ended, long before the last position perhaps
        blank = jnp.full((left, *shape), end, jnp.int32)
        begun = jnp.zeros((), jnp.int32), state, jnp.zeros(shape, bool), blank
        rest = lax.while_loop(going, step, begun)[3]
        return jnp.concatenate([*fixed, jnp.moveaxis(rest, 0, -1)], -1).astype(jnp.int32)


def as_autoregressive(distribution: Any) -> Autoregressive | None:
    """The distribution without its plates, if it is written token by token; else None."""
    inner = unwrap(distribution)
    return inner if isinstance(inner, Autoregressive) else None


def steps_taken(log_probs: Array, value: Array, tokens: int) -> Array:
    """Log-probability of every token of rows, 0 after ``<end>``: ``(row, position)``.

    Args:
        log_probs: ``(row, position, V + 1)``, see ``following_each``.
        value: codes ``(row, position)``.
        tokens: V.
    """
    taken = jnp.take_along_axis(log_probs, value[..., None], axis=-1)[..., 0]
    before = jnp.concatenate([jnp.zeros_like(value[:, :1]), value[:, :-1]], axis=1)
    return jnp.where(before < tokens, taken, 0)


def tempered(temperature: float, top: int | None, top_p: float | None) -> Any:
    """Change log-probabilities ``(..., V + 1)``: sharper, or without their tail.

    Args:
        temperature: of the softmax; 0 keeps the most probable token alone.
        top: keep so many tokens.
        top_p: keep the fewest tokens whose probabilities add up to at least this.
    """

    def change(log_probs: Array) -> Array:
        if temperature == 0:
            best = log_probs.argmax(-1, keepdims=True)
            return jnp.where(jnp.arange(log_probs.shape[-1]) == best, 0.0, -jnp.inf)
        log_probs = jax.nn.log_softmax(log_probs / temperature)
        rank = jnp.argsort(
            jnp.argsort(-log_probs, axis=-1), axis=-1
        )  # of equals the first is first
        if top is not None:
            log_probs = jnp.where(rank < top, log_probs, -jnp.inf)
        if top_p is not None:
            ranked = -jnp.sort(-jax.nn.softmax(log_probs), axis=-1)
            candidates = (jnp.cumsum(ranked, -1) - ranked < top_p).sum(-1, keepdims=True)
            log_probs = jnp.where(rank < candidates, log_probs, -jnp.inf)
        return log_probs

    return change
