"""Pictures of bits, written pixel by pixel in the order in which they are read."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from numpyro.distributions import Distribution, constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import einsum, matmul
from ppl_models.distributions.sequences.autoregressive import Autoregressive, State

GROUP = 16  #: pixels between which a pass back keeps what it needs


class PixelScan(Distribution, Autoregressive):
    """Bits of which each depends on those before it; a row that lacks one has no density."""

    ends = False
    tokens = 2
    needs_whole_rows = True
    data_description = "bits, zeros or ones"

    @property
    def support(self) -> Any:
        """Zeros and ones."""
        return constraints.independent(constraints.boolean, 1)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of whole rows; NaN where a bit is missing."""
        value = jnp.asarray(value)
        rows = value.reshape(-1, value.shape[-1])
        logits = self.logits_each(rows)
        log_probs = jax.nn.log_sigmoid(jnp.where(rows > 0, logits, -logits)).sum(-1)
        log_probs = jnp.where(missing_cells(rows).any(-1), jnp.nan, log_probs)
        return log_probs.reshape(value.shape[:-1])

    def logits_each(self, value: Array) -> Array:
        """Log-odds of every bit given all before, ``(row, position)``."""
        raise NotImplementedError

    def following_each(self, value: Array) -> Array:
        """Log-probabilities of zero and one at every position, ``(row, position, 2)``."""
        return _both(self.logits_each(value))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + (positions,)``."""
        return self.sample_sequences(key, sample_shape + self.batch_shape)


def _both(logits: Array) -> Array:
    return jnp.stack([jax.nn.log_sigmoid(-logits), jax.nn.log_sigmoid(logits)], -1)


class LogisticScan(PixelScan):
    """Fully visible sigmoid belief network: every bit a logistic regression on those before.

        P(x_d = 1 | x_<d) = σ(bias_d + Σ_j<d weights_dj (x_j - 1/2))

    One product with a triangular matrix gives all positions. Frey (1998).

    Args:
        weights: ``(position, position)``; entries on and above the diagonal are ignored.
        bias: ``(position,)``.

    >>> scan = LogisticScan(jnp.zeros((3, 3)), jnp.zeros(3))
    >>> round(float(jnp.exp(scan.log_prob(jnp.array([0, 1, 1])))), 4)
    0.125
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "weights": constraints.independent(constraints.real, 2),
        "bias": constraints.independent(constraints.real, 1),
    }

    def __init__(self, weights: Any, bias: Any, *, validate_args: bool | None = None):
        self.weights, self.bias = jnp.asarray(weights), jnp.asarray(bias)
        super().__init__((), self.bias.shape, validate_args=validate_args)

    @property
    def positions(self) -> int:  # type: ignore[override]
        """D."""
        return self.bias.shape[0]

    def logits_each(self, value: Array) -> Array:
        """Log-odds of every bit given all before, ``(row, position)``."""
        return (
            matmul((value - 0.5).astype(self.bias.dtype), jnp.tril(self.weights, -1).T) + self.bias
        )

    def begin(self, shape: tuple[int, ...]) -> State:
        """Partial log-odds of all bits given the bits read, and the position of the next."""
        zeros = jnp.zeros((*shape, self.positions), self.bias.dtype)
        return self.bias + zeros, jnp.zeros(shape, jnp.int32)

    def following(self, state: State) -> Array:
        """Log-probabilities of zero and one."""
        logits, place = state
        return _both(jnp.take_along_axis(logits, place[..., None], -1)[..., 0])

    def read(self, state: State, token: Array) -> State:
        """The state after one more bit."""
        logits, place = state
        column = jnp.take(self.weights.T, jnp.minimum(place, self.positions - 1), axis=0)
        return logits + (token - 0.5)[..., None].astype(logits.dtype) * column, jnp.minimum(
            place + 1, self.positions - 1
        )


class Nade(PixelScan):
    """Neural autoregressive density estimator: hidden units that see the bits before.

        h_d = σ(bias + Σ_j<d inward_j (x_j - 1/2)),   P(x_d = 1 | x_<d) = σ(b_d + outward_d · h_d)

    The hidden units of a bit are those of the bit before and one vector more, so that all bits
    cost as much as one pass through a network. Larochelle and Murray (2011).

    Args:
        inward: ``(position, unit)``.
        bias: ``(unit,)``.
        outward: ``(position, unit)``.
        outward_bias: ``(position,)``.

    >>> scan = Nade(jnp.zeros((3, 2)), jnp.zeros(2), jnp.zeros((3, 2)), jnp.zeros(3))
    >>> round(float(jnp.exp(scan.log_prob(jnp.array([0, 1, 1])))), 4)
    0.125
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "inward": constraints.independent(constraints.real, 2),
        "bias": constraints.independent(constraints.real, 1),
        "outward": constraints.independent(constraints.real, 2),
        "outward_bias": constraints.independent(constraints.real, 1),
    }

    def __init__(
        self,
        inward: Any,
        bias: Any,
        outward: Any,
        outward_bias: Any,
        *,
        validate_args: bool | None = None,
    ):
        self.inward, self.bias = jnp.asarray(inward), jnp.asarray(bias)
        self.outward, self.outward_bias = jnp.asarray(outward), jnp.asarray(outward_bias)
        super().__init__((), self.outward_bias.shape, validate_args=validate_args)

    @property
    def positions(self) -> int:  # type: ignore[override]
        """D."""
        return self.outward_bias.shape[0]

    def logits_each(self, value: Array) -> Array:
        """Log-odds of every bit given all before, ``(row, position)``.

        Groups of bits at a time; a pass back keeps the sums between groups alone, so that memory
        is not rows times positions times units.
        """
        rows, positions = value.shape
        units = self.bias.shape[0]
        padding = -positions % GROUP
        spins = jnp.pad((value - 0.5).astype(self.bias.dtype), ((0, 0), (0, padding)))
        inward = jnp.pad(self.inward, ((0, padding), (0, 0))).reshape(-1, GROUP, units)
        outward = jnp.pad(self.outward, ((0, padding), (0, 0))).reshape(-1, GROUP, units)
        grouped = jnp.moveaxis(spins.reshape(rows, -1, GROUP), 1, 0)

        @jax.checkpoint
        def group(total: Array, pixels: tuple) -> tuple[Array, Array]:
            bits, inward, outward = pixels
            steps = jnp.cumsum(bits[:, :, None] * inward, axis=1)
            before = total[:, None, :] + jnp.pad(steps[:, :-1], ((0, 0), (1, 0), (0, 0)))
            logits = einsum("rgu,gu->rg", jax.nn.sigmoid(before), outward)
            return total + steps[:, -1], logits

        first = jnp.broadcast_to(self.bias, (rows, units))
        _, logits = lax.scan(group, first, (grouped, inward, outward))
        return jnp.moveaxis(logits, 0, 1).reshape(rows, -1)[:, :positions] + self.outward_bias

    def begin(self, shape: tuple[int, ...]) -> State:
        """Inputs of the hidden units, and the position of the next bit."""
        return jnp.broadcast_to(self.bias, (*shape, self.bias.shape[0])), jnp.zeros(
            shape, jnp.int32
        )

    def following(self, state: State) -> Array:
        """Log-probabilities of zero and one."""
        total, place = state
        outward = jnp.take(self.outward, place, axis=0)
        logits = (jax.nn.sigmoid(total) * outward).sum(-1) + jnp.take(self.outward_bias, place)
        return _both(logits)

    def read(self, state: State, token: Array) -> State:
        """The state after one more bit."""
        total, place = state
        step = (token - 0.5)[..., None].astype(total.dtype) * jnp.take(self.inward, place, axis=0)
        return total + step, jnp.minimum(place + 1, self.positions - 1)
