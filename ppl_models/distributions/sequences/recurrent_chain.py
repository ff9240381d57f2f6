"""Sequences written token by token by a recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from numpyro.distributions import Distribution, constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.sequences.autoregressive import Autoregressive, State, steps_taken
from ppl_models.distributions.sequences.recurrent_cells import CELLS, Memory, run

#: Tokens that are looked up by a product with indicators: up to here faster than a scatter back.
PRODUCT_TOKENS = 256

WEIGHTS = {  #: name -> number of its own axes
    "embedding": 2,
    "start": 1,
    "input": 3,
    "recurrent": 3,
    "bias": 2,
    "output": 2,
    "output_bias": 1,
}


class RecurrentChain(Distribution, Autoregressive):
    """Whole sequences: P(x) = Π P(x_t | h_t), where h_t+1 is made of h_t and the token x_t.

        h_1 = tanh(start),  h_t+1 = cell(embedding[x_t] · input + bias, h_t · recurrent)
        P(x_t | h_t) = softmax(h_t · output + output_bias)

    A datum is a row of codes ``0 .. V-1``, then V (``<end>``) to the end of the row; the first
    token is never ``<end>``. With ``ends`` false there is no ``<end>`` and every row is full.

    Mikolov, Karafiát, Burget, Černocký and Khudanpur (2010); cells of Cho et al. (2014) and
    Hochreiter and Schmidhuber (1997).

    Args:
        embedding: ``batch + (V, embedding)``.
        start: ``batch + (unit,)``; an LSTM's cell starts at it, the hidden units at its tanh.
        input: ``batch + (embedding, gate, unit)``.
        recurrent: ``batch + (unit, gate, unit)``.
        bias: ``batch + (gate, unit)``.
        output: ``batch + (unit, V + 1)``; ``(unit, V)`` where nothing ends.
        output_bias: ``batch + (V + 1,)``.
        cell: "gru" or "lstm".
        positions: of a datum, ``<end>`` included.
        ends: whether there is ``<end>``.

    >>> flat = [jnp.zeros(s) for s in [(2, 3), (4,), (3, 3, 4), (4, 3, 4), (3, 4), (4, 3), (3,)]]
    >>> chain = RecurrentChain(*flat, positions=3)
    >>> round(float(jnp.exp(chain.log_prob(jnp.array([0, 1, 2])))), 4)  # 1/2 * 1/3 * 1/3
    0.0556
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        name: constraints.independent(constraints.real, axes) for name, axes in WEIGHTS.items()
    }
    pytree_aux_fields = ("cell", "positions", "ends")
    needs_whole_rows = True
    data_description = "sequences of tokens"

    def __init__(
        self,
        embedding: Any,
        start: Any,
        input: Any,
        recurrent: Any,
        bias: Any,
        output: Any,
        output_bias: Any,
        *,
        cell: str = "gru",
        positions: int,
        ends: bool = True,
        validate_args: bool | None = None,
    ):
        weights = (embedding, start, input, recurrent, bias, output, output_bias)
        arrays = [jnp.asarray(value) for value in weights]
        for name, value in zip(WEIGHTS, arrays, strict=True):
            setattr(self, name, value)
        own = zip(arrays, WEIGHTS.values(), strict=True)
        batch = lax.broadcast_shapes(*(v.shape[: v.ndim - axes] for v, axes in own))
        self.cell, self.positions, self.ends = cell, int(positions), ends
        super().__init__(batch, (self.positions,), validate_args=validate_args)

    @property
    def tokens(self) -> int:  # type: ignore[override]
        """V, the size of the vocabulary without ``<end>``."""
        return self.embedding.shape[-2]

    @property
    def support(self) -> Any:
        """Codes of tokens and of ``<end>``."""
        return constraints.independent(constraints.integer_interval(0, self._most), 1)

    @property
    def _most(self) -> int:
        return self.tokens if self.ends else self.tokens - 1

    def _weights(self, batch: tuple[int, ...]) -> dict[str, Array]:
        """All weights with the same batch axes."""
        weights = {}
        for name, axes in WEIGHTS.items():
            value = getattr(self, name)
            weights[name] = jnp.broadcast_to(value, (*batch, *value.shape[value.ndim - axes :]))
        return weights

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of whole sequences, ``value.shape[:-1]`` with the batch's."""
        value = jnp.asarray(value)
        shape = lax.broadcast_shapes(value.shape[:-1], self.batch_shape)
        if self.batch_shape == ():
            return self._log_prob_rows(value.reshape(-1, value.shape[-1])).reshape(shape)
        if value.ndim == 2 and self.batch_shape[-1] == 1:  # each component at all rows
            weights = self._weights(self.batch_shape)
            flat = {n: v.reshape(-1, *v.shape[len(self.batch_shape) :]) for n, v in weights.items()}
            log_probs = jax.vmap(lambda w: self._like(w)._log_prob_rows(value))(flat)
            return log_probs.reshape(*self.batch_shape[:-1], len(value))
        weights = self._weights(shape)
        flat = {n: v.reshape(-1, *v.shape[len(shape) :]) for n, v in weights.items()}
        rows = jnp.broadcast_to(value, (*shape, value.shape[-1])).reshape(-1, 1, value.shape[-1])
        log_probs = jax.vmap(lambda w, row: self._like(w)._log_prob_rows(row))(flat, rows)
        return log_probs.reshape(shape)

    def _like(self, weights: dict[str, Array]) -> RecurrentChain:
        return RecurrentChain(
            *(weights[n] for n in WEIGHTS), cell=self.cell, positions=self.positions, ends=self.ends
        )

    def _log_prob_rows(self, value: Array) -> Array:
        """Of rows ``(row, position)``, without a batch; NaN where a token is missing."""
        known = ~missing_cells(value)
        log_probs = self._log_prob_codes(jnp.where(known, value, 0).astype(jnp.int32))
        return jnp.where(known.all(-1), log_probs, jnp.nan)

    def _log_prob_codes(self, value: Array) -> Array:
        log_probs = self.following_each(value)
        if self.ends:
            return steps_taken(log_probs, value, self.tokens).sum(-1)
        return jnp.take_along_axis(log_probs, value[..., None], axis=-1).sum((-1, -2))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (positions,)``, cut where no ``<end>`` came in time."""
        return self.sample_sequences(key, sample_shape + self.batch_shape)

    # ---- token by token ----------------------------------------------------------------------

    def begin(self, shape: tuple[int, ...]) -> State:
        """The cell's memory, and how many tokens it has read."""
        return self._memory(shape), jnp.zeros(shape, jnp.int32)

    def _memory(self, shape: tuple[int, ...]) -> Memory:
        start = jnp.broadcast_to(self.start, (*shape, self.start.shape[-1]))
        return (jnp.tanh(start), start)[: CELLS[self.cell].memories]

    def following(self, state: State) -> Array:
        """Log-probabilities of the next token, ``shape + (V + 1,)``."""
        memory, count = state
        logits = _product(memory[0], self.output) + self.output_bias
        return self._normalised(logits, count == 0)

    def _normalised(self, logits: Array, first: Array) -> Array:
        """Log-probabilities; nothing ends before its first token."""
        if self.ends:
            end = jnp.arange(self.tokens + 1) == self.tokens
            logits = jnp.where(end & first[..., None], -jnp.inf, logits)
        return jax.nn.log_softmax(logits)

    def read(self, state: State, token: Array) -> State:
        """The state after one more token."""
        memory, count = state
        picked = _looked_up(self.embedding, token)
        contribution = _product(picked, _flat(self.input)) + _flat(self.bias)
        recurrent = _product(memory[0], _flat(self.recurrent))
        return CELLS[self.cell].advance(contribution, recurrent, memory), count + 1

    def following_each(self, value: Array) -> Array:
        """Log-probabilities at every position given all before, ``(row, position, V + 1)``."""
        rows, positions = value.shape
        tokens = jnp.clip(value[:, :-1].T, 0, self.tokens - 1)
        if self.tokens <= PRODUCT_TOKENS:
            table = matmul(self.embedding, _flat(self.input)) + _flat(self.bias)
            contributions = matmul(jax.nn.one_hot(tokens, self.tokens, dtype=table.dtype), table)
        else:
            contributions = matmul(self.embedding[tokens], _flat(self.input)) + _flat(self.bias)
        hidden = run(self.cell, contributions, _flat(self.recurrent), self._memory((rows,)))
        logits = matmul(jnp.swapaxes(hidden, 0, 1), self.output) + self.output_bias
        return self._normalised(logits, jnp.arange(positions) == 0)


def _flat(weights: Array) -> Array:
    """``(..., gate, unit)`` as ``(..., gate * unit)``."""
    return weights.reshape(*weights.shape[:-2], -1)


def _product(vector: Array, matrix: Array) -> Array:
    """Vectors times a matrix, or each its own batch's."""
    if matrix.ndim == 2:
        return matmul(vector, matrix)
    return matmul(vector[..., None, :], matrix)[..., 0, :]


def _looked_up(embedding: Array, token: Array) -> Array:
    """Rows of the table, each batch's own."""
    if embedding.ndim == 2:
        return embedding[token]
    table = jnp.broadcast_to(embedding, (*token.shape, *embedding.shape[-2:]))
    return jnp.take_along_axis(table, token[..., None, None], axis=-2)[..., 0, :]
