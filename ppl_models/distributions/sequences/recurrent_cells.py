"""Recurrent cells, and the pass of one over whole sequences, forward and back.

A cell sees what the token contributes to its gates and what the hidden units do, both already
multiplied by their weights; the rest is element by element. The pass forward therefore makes one
small matrix product a step and keeps what its gradient needs of the rest, so that no hyperbolic
tangent is computed twice; the pass back leaves the gradient of the recurrent weights to one large
product over all steps at the end, where differentiating the scan would add up one a step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models import device
from ppl_models.distributions.contraction import matmul

Memory = tuple[Array, ...]  #: what a cell remembers, each ``(..., unit)``; the first is read out


class Cell(NamedTuple):
    """A kind of recurrent cell.

    ``advance(token, recurrent, memory)`` takes both contributions ``(..., gate * unit)``.
    """

    gates: int
    memories: int
    advance: Callable[[Array, Array, Memory], Memory]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _parts(gates: Array, count: int) -> tuple[Array, ...]:
    """The gates apart. Back, they are laid side by side, where slices would be padded and added."""
    return tuple(jnp.split(gates, count, axis=-1))


_parts.defvjp(
    lambda gates, count: (_parts(gates, count), None),
    lambda count, _, slopes: (jnp.concatenate(slopes, axis=-1),),
)


def _sigmoid(x: Array) -> Array:
    """By the hyperbolic tangent: a third of the time of an exponential and a division."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def _gru(token: Array, recurrent: Array, memory: Memory) -> Memory:
    """Gated recurrent unit, gates reset, update, candidate; Cho et al. (2014).

    The reset gate acts after the recurrent product, so that a step needs one product alone.
    """
    (hidden,) = memory
    (reset, update, candidate), (r, z, n) = _parts(token, 3), _parts(recurrent, 3)
    reset, update = _sigmoid(reset + r), _sigmoid(update + z)
    candidate = jnp.tanh(candidate + reset * n)
    return (candidate + update * (hidden - candidate),)


def _lstm(token: Array, recurrent: Array, memory: Memory) -> Memory:
    """Long short-term memory, gates input, forget, output, candidate; Gers et al. (2000)."""
    hidden, cell = memory
    enter, keep, show, candidate = _parts(token + recurrent, 4)
    cell = _sigmoid(keep) * cell + _sigmoid(enter) * jnp.tanh(candidate)
    return _sigmoid(show) * jnp.tanh(cell), cell


CELLS = {"gru": Cell(3, 1, _gru), "lstm": Cell(4, 2, _lstm)}


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def run(cell: str, tokens: Array, recurrent: Array, memory: Memory) -> Array:
    """Hidden units before each step and after the last.

    Args:
        cell: of ``CELLS``.
        tokens: contributions of the tokens to the gates, ``(step, row, gate * unit)``.
        recurrent: weights ``(unit, gate * unit)``.
        memory: before the first step, each ``(row, unit)``.

    Returns:
        ``(step + 1, row, unit)``.

    >>> run("gru", jnp.zeros((5, 2, 9)), jnp.zeros((3, 9)), (jnp.ones((2, 3)),))[:, 0, 0]
    Array([1. , 0.5 , 0.25 , 0.125 , 0.0625 , 0.03125], dtype=float32)
    """
    advance = CELLS[cell].advance

    def step(memory: Memory, token: Array) -> tuple[Memory, Array]:
        return advance(token, matmul(memory[0], recurrent), memory), memory[0]

    last, before = lax.scan(step, memory, tokens, unroll=device.unrolled(len(tokens)))
    return jnp.concatenate([before, last[0][None]])


def _forward(cell: str, tokens: Array, recurrent: Array, memory: Memory) -> tuple[Array, tuple]:
    """:func:`run`, and what its gradient needs."""
    advance = CELLS[cell].advance

    def step(memory: Memory, token: Array) -> tuple[Memory, tuple[Memory, Callable]]:
        product = matmul(memory[0], recurrent)
        after, transpose = jax.vjp(advance, token, product, memory)
        return after, (memory, transpose)

    last, (before, transposes) = lax.scan(step, memory, tokens, unroll=device.unrolled(len(tokens)))
    hidden = jnp.concatenate([before[0], last[0][None]])
    return hidden, (recurrent, before, transposes)


def _backward(cell: str, residuals: tuple, slope: Array) -> tuple[Array, Array, Memory]:
    recurrent, before, transposes = residuals
    back = recurrent.T

    def step(after: Memory, at: tuple) -> tuple[Memory, tuple[Array, Array]]:
        transpose, slope = at
        of_token, of_product, of_memory = transpose(after)
        hidden = of_memory[0] + matmul(of_product, back) + slope
        return (hidden, *of_memory[1:]), (of_token, of_product)

    last = (slope[-1], *(jnp.zeros_like(m[0]) for m in before[1:]))
    each = (transposes, slope[:-1])
    first, (of_tokens, of_products) = lax.scan(
        step, last, each, reverse=True, unroll=device.unrolled(len(slope) - 1)
    )
    units, gates = recurrent.shape
    of_recurrent = matmul(before[0].reshape(-1, units).T, of_products.reshape(-1, gates))
    return of_tokens, of_recurrent, first


run.defvjp(_forward, _backward)
