"""Passes over hidden paths: all of them summed, the best one, or one drawn.

Steps are passed over one by one, all sequences side by side. Probabilities are scaled at every
step, so that nothing underflows however long the sequence (Rabiner 1989). What comes back along
the sequence, the posterior shares of states and of steps, needs no second pass over the emissions.

States are the first axis and sequences the last, along which vectors run. (Cutting sequences into
blocks that are passed over side by side, by their transfer matrices, was measured: it costs a
factor of the number of states more work, and was slower from five states on.)

A chain of second order is one over pairs (before, here) of states, where "before" may also be
"none", which comes last: so the first step is a step as all others. From (before, here) only pairs
(here, after) can be reached, and passes sum over "before" alone: K³ products and not K⁴.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

FEW = 8  #: states up to which products are written out


class Chain(NamedTuple):
    """A hidden chain: ``initial (state,)``, ``step (state, state)``, ``end (state[, sequence])``.

    ``end`` is the probability of ending after a state, and ``step`` sums to one less that; ones
    for a chain that does not end by itself, or for sequences that are cut by their observer.

    Of second order, ``step`` is ``(before, here, after)`` with one more "before" than states, and
    a "state" is a pair: number ``before × K + here`` of K (K + 1).
    """

    initial: Array
    step: Array
    end: Array


class Paths(NamedTuple):
    """What is known of the paths: ``states (state, step, sequence)`` are their shares.

    Steps from state i to state j, summed over all steps, are ``weigh[i, j]`` times the product of
    ``left (state, step, sequence)`` and ``right`` over steps and sequences.
    """

    states: Array
    left: Array
    right: Array
    weigh: Array


class _Steps(NamedTuple):
    """Emissions ``(state, place)`` and masks ``(place,)``; a place is a step of a sequence.

    Places are one axis, sequences within steps: what is done at every place then runs along one
    long vector, where an axis of a few sequences would leave most of a register empty.
    """

    likelihood: Array  #: scaled, so that the likeliest state of every place has 1
    top: Array  #: logarithm of the scale
    active: Array  #: whether the sequence has the step
    more: Array  #: whether it has one after it


def _steps(logits: Array, lengths: Array) -> _Steps:
    count = jnp.arange(logits.shape[1])[:, None]
    logits = logits.reshape(len(logits), -1)
    top = logits.max(0) if len(logits) > FEW else functools.reduce(jnp.maximum, logits)
    top = lax.optimization_barrier(top)  # else it is found again for every state
    safe = jnp.where(jnp.isfinite(top), top, 0)
    active, more = ((count < last).reshape(-1) for last in (lengths, lengths - 1))
    return _Steps(jnp.exp(logits - safe), top, active, more)


def _safe(total: Array) -> Array:
    return jnp.where(total > 0, total, 1)


def _sum(values: Array) -> Array:
    """Over the first axis, states: few are written out, so that vectors run along sequences."""
    if len(values) > FEW:
        return values.sum(0)
    return functools.reduce(operator.add, values)


def _scaling(total: Array) -> Array:
    """The power of two that brings a positive number between one and two, finite for zero."""
    info = jnp.finfo(total.dtype)
    bits = lax.bitcast_convert_type(total, jnp.int32 if info.bits == 32 else jnp.int64)
    bias, place = info.maxexp - 1, info.nmant
    found = ((2 * bias) << place) - ((bits >> place) << place)
    return lax.bitcast_convert_type(found, total.dtype)


def _exponent(total: Array) -> Array:
    """Minus the logarithm of :func:`_scaling` to base two."""
    info = jnp.finfo(total.dtype)
    bits = lax.bitcast_convert_type(total, jnp.int32 if info.bits == 32 else jnp.int64)
    return (bits >> info.nmant) - (info.maxexp - 1)


def _sum_of_products(left: Array, right: Array) -> Array:
    """Over states, without an array of the products."""
    if len(left) > FEW:
        return (left * right).sum(0)
    return functools.reduce(operator.add, map(operator.mul, left, right))


def _apply(step: Array, values: Array, back: bool) -> Array:
    """Vectors ``(state, sequence)`` moved one step on along the chain, or back.

    Few states are written out: a call of a library at every step would cost more than the product.
    """
    if step.ndim == 3:
        return _apply_to_pairs(step, values, back)
    matrix = step if back else step.T
    if len(values) > FEW:
        return matrix @ values
    return functools.reduce(operator.add, (matrix[:, i, None] * v for i, v in enumerate(values)))


def _apply_to_pairs(step: Array, values: Array, back: bool) -> Array:
    before, here = step.shape[:2]
    pairs = values.reshape(before, here, -1)
    if back:
        terms = (step[:, :, k, None] * pairs[:here, k] for k in range(here))
        return functools.reduce(operator.add, terms).reshape(values.shape)
    terms = (step[p, ..., None] * pairs[p, :, None] for p in range(before))
    moved = functools.reduce(operator.add, terms).reshape(here * here, -1)
    return jnp.pad(moved, ((0, here), (0, 0)))  # none comes before the first step alone


def _pass(step: Array, start: Array, likelihood: Array, back: Array | None = None) -> Array:
    """One pass along all sequences, ``(state, place)``.

    What arrives at a step is weighed by its emission, scaled so that it adds up to one, and moved
    on. Forward, what arrived is kept; back, it is kept weighed, and a step of zeros comes last.

    Results are written in place: ``lax.scan`` would need an array with the steps first, and copies
    to it and from it take longer than the pass.

    Args:
        step: see :class:`Chain`.
        start: what arrives at the first step, ``(state, sequence)``.
        likelihood: of the emissions, ``(state, place)``.
        back: go from the last step to the first, and move on only where this mask ``(place,)`` is
            true.
    """
    sequences = start.shape[1]
    steps = likelihood.shape[1] // sequences

    def one(count: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        arriving, kept = state
        place = (count if back is None else steps - 1 - count) * sequences
        joint = arriving * lax.dynamic_slice_in_dim(likelihood, place, sequences, 1)
        after = _apply(step, joint, back is not None) * _scaling(_sum(joint))
        found = arriving
        if back is not None:
            moves = lax.dynamic_slice_in_dim(back, place, sequences)
            after, found = jnp.where(moves, after, arriving), joint
        return after, lax.dynamic_update_slice_in_dim(kept, found, place, 1)

    places = (steps + (back is not None)) * sequences
    kept = jnp.zeros((len(start), places), likelihood.dtype)
    return lax.fori_loop(0, steps, one, (start, kept))[1]


def _everywhere(share: Array, sequences: int) -> Array:
    """What holds of every state, for every sequence: ``(state, sequence)``."""
    return jnp.broadcast_to(share.reshape(len(share), -1), (len(share), sequences))


def _forward(chain: Chain, steps: _Steps, lengths: Array) -> tuple[Array, Array]:
    """What arrives at every step ``(state, place)``; log-likelihoods ``(sequence,)``."""
    start, end = (_everywhere(share, len(lengths)) for share in (chain.initial, chain.end))
    arriving = _pass(chain.step, start, steps.likelihood)
    moved = jnp.where(steps.more, _exponent(_sum_of_products(arriving, steps.likelihood)), 0)
    exponents = moved.reshape(-1, len(lengths)).sum(0)
    tops = _long_sum(jnp.where(steps.active, steps.top, 0).reshape(-1, len(lengths)))
    last = _at_last(arriving, steps.likelihood, start, lengths)
    return arriving, _safe_log(_sum(last * end)) + math.log(2) * exponents + tops


def _at_last(arriving: Array, likelihood: Array, start: Array, lengths: Array) -> Array:
    """Shares of the states before the end, ``(state, sequence)``, not scaled."""
    place = _last_place(lengths)
    return jnp.where(lengths > 0, arriving[:, place] * likelihood[:, place], start)


def _last_place(lengths: Array) -> Array:
    return jnp.clip(lengths - 1, 0) * len(lengths) + jnp.arange(len(lengths))


def _long_sum(values: Array) -> Array:
    """Over the first axis, in blocks: a long sum has no room for the last digits of its terms."""
    size = max(1, math.isqrt(len(values)))
    padded = jnp.pad(values, ((0, -len(values) % size), (0, 0)))
    return padded.reshape(-1, size, padded.shape[1]).sum(1).sum(0)


@jax.custom_vjp
def log_likelihood(chain: Chain, logits: Array, lengths: Array) -> Array:
    """All paths summed, ``(sequence,)``; ``-inf`` where no path is possible.

    Its gradient is what :func:`expected` finds: it has no forward mode.

    Args:
        chain: the hidden chain.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.
    """
    return _forward(chain, _steps(logits, lengths), lengths)[1]


def _with_slopes(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Any]:
    total, paths, slopes = _expected(chain, logits, lengths)
    return total, (chain, paths, slopes)


def _pull_back(found: Any, weights: Array) -> tuple[Chain, Array, None]:
    chain, paths, slopes = found
    pull = jax.vjp(
        lambda *shares: tuple(_everywhere(share, len(weights)) for share in shares),
        chain.initial,
        chain.end,
    )[1]
    initial, end = pull(tuple(slope * weights for slope in slopes))
    step = transitions(paths._replace(weigh=jnp.ones_like(chain.step)), weights)
    return Chain(initial, step, end), paths.states * weights, None


log_likelihood.defvjp(_with_slopes, _pull_back)


def expected(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Paths]:
    """All paths summed: log-likelihoods, and posterior shares of states and of steps."""
    return _expected(chain, logits, lengths)[:2]


def _expected(
    chain: Chain, logits: Array, lengths: Array
) -> tuple[Array, Paths, tuple[Array, Array]]:
    """And derivatives by the shares of a sequence's first state and of its end."""
    sequences = len(lengths)
    steps = _steps(logits, lengths)
    arriving, total = _forward(chain, steps, lengths)
    start, end = (_everywhere(share, sequences) for share in (chain.initial, chain.end))
    ahead = _pass(chain.step, end, steps.likelihood, steps.active)
    here, after = ahead[:, :-sequences], ahead[:, sequences:]
    norm = 1 / _safe(_sum_of_products(arriving, here))
    states = arriving * here * lax.optimization_barrier(jnp.where(steps.active, norm, 0))
    scale = jnp.where(steps.more, norm, 0) * _scaling(_sum(after))
    right = after * lax.optimization_barrier(scale)  # else it is found again for every state
    shape = -1, len(steps.top) // sequences, sequences
    found = (v.reshape(shape) for v in (states, arriving * steps.likelihood, right))
    last = _at_last(arriving, steps.likelihood, start, lengths)
    whole = _safe(_sum(last * end))
    first = jnp.where(lengths > 0, here[:, :sequences] * norm[:sequences], end / whole)
    return total, Paths(*found, chain.step), (first, last / whole)


def filtered_states(chain: Chain, logits: Array, lengths: Array) -> Array:
    """P(state | all up to the step), ``(state, step, sequence)``."""
    steps = _steps(logits, lengths)
    joint = _forward(chain, steps, lengths)[0] * steps.likelihood
    return (joint / _safe(_sum(joint))).reshape(logits.shape)


def _safe_log(value: Array) -> Array:
    return jnp.where(value > 0, jnp.log(jnp.where(value > 0, value, 1)), -jnp.inf)


def one_path(path: Array, chain: Chain, lengths: Array, dtype: jnp.dtype) -> Paths:
    """A path ``(step, sequence)`` as shares that are zero or one."""
    place = jnp.arange(path.shape[0])[:, None]
    code = jnp.arange(len(chain.initial))[:, None, None]
    shares = ((path == code) & (place < lengths)).astype(dtype)
    after = jnp.concatenate([shares[:, 1:], jnp.zeros_like(shares[:, :1])], axis=1)
    return Paths(shares, shares, after, jnp.ones(chain.step.shape, dtype))


def best(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """The most probable path (Viterbi 1967).

    Returns:
        Log joint densities of path and data ``(sequence,)``, and paths ``(step, sequence)``; steps
        after the end repeat the last state.
    """
    states, steps, sequences = logits.shape
    log_step, log_end = _safe_log(chain.step), _safe_log(chain.end.reshape(states, -1))
    start = _safe_log(chain.initial)[:, None] + logits[:, 0]
    stay = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32)[:, None], (states, sequences))

    def step(score: Array, given: tuple) -> tuple[Array, Array]:
        here, active = given
        value, origin = _best_origins(score, log_step)
        return jnp.where(active, value + here, score), jnp.where(active, origin, stay)

    active = jnp.arange(1, steps)[:, None] < lengths
    score, origins = lax.scan(step, start, (jnp.moveaxis(logits[:, 1:], 1, 0), active))
    final, last = _largest(list(score + log_end))
    return final, _follow(origins, last)


def _best_origins(score: Array, log_step: Array) -> tuple[Array, Array]:
    """The best score with which every state is reached, and from which state it is."""
    if log_step.ndim == 2:
        return _largest([s[None] + row[:, None] for s, row in zip(score, log_step, strict=True)])
    before, here = log_step.shape[:2]
    pairs = score.reshape(before, here, 1, -1)
    value, origin = _largest([pairs[p] + log_step[p][..., None] for p in range(before)])
    origin = origin * here + jnp.arange(here, dtype=jnp.int32)[:, None, None]
    value, origin = (v.reshape(here * here, -1) for v in (value, origin))
    wider = (0, here), (0, 0)
    return jnp.pad(value, wider, constant_values=-jnp.inf), jnp.pad(origin, wider)


def _largest(values: list[Array]) -> tuple[Array, Array]:
    """The largest of arrays and which it is, by a running comparison: argmax is slow on CPUs."""
    best, place = values[0], jnp.zeros(values[0].shape, jnp.int32)
    for i, value in enumerate(values[1:], start=1):
        place = jnp.where(value > best, i, place)
        best = jnp.maximum(value, best)
    return best, place


def _follow(origins: Array, last: Array) -> Array:
    """Back along ``origins (step, state, sequence)`` from the last state: ``(step, sequence)``."""

    def back(state: Array, origin: Array) -> tuple[Array, Array]:
        before = jnp.take_along_axis(origin, state[None], axis=0)[0]
        return before, before

    last = last.astype(origins.dtype)
    _, path = lax.scan(back, last, origins, reverse=True)
    return jnp.concatenate([path, last[None]])


def drawn(key: Array, chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """Draw a path from its posterior: filter forward, draw backward (Frühwirth-Schnatter 1994).

    For every step one uniform number decides from which state each following state would have
    come; that is done for all steps at once, and only then is the path followed back.

    Returns:
        Log-likelihoods ``(sequence,)`` and paths ``(step, sequence)``.
    """
    states, _, sequences = logits.shape
    steps = _steps(logits, lengths)
    arriving, total = _forward(chain, steps, lengths)
    uniform = random.uniform(key, steps.top.shape, logits.dtype)
    uniform = uniform * (1 - 4 * jnp.finfo(logits.dtype).eps)
    start, end = (_everywhere(share, sequences) for share in (chain.initial, chain.end))
    ending = _at_last(arriving, steps.likelihood, start, lengths) * end
    last = _by_inversion(ending, uniform[_last_place(lengths)])
    whole = arriving * steps.likelihood
    if chain.step.ndim == 2:
        found = [_by_inversion(whole * chain.step[:, j, None], uniform) for j in range(states)]
    else:
        before, here = chain.step.shape[:2]
        pairs = whole.reshape(before, here, -1)
        found = [
            _by_inversion(pairs[:, i] * chain.step[:, i, k, None], uniform) * here + i
            for i in range(here)
            for k in range(here)
        ]
        found += [jnp.zeros_like(found[0])] * here
    # after the end a state stays where it is
    origins = [jnp.where(steps.more, origin, i) for i, origin in enumerate(found)]
    origins = jnp.stack([origin.reshape(-1, sequences) for origin in origins], axis=1)
    # the last step's own origins move a state nowhere
    return total, _follow(origins, last)[:-1]


def _by_inversion(shares: Array, uniform: Array) -> Array:
    """Which of the first axis, drawn by a uniform number each."""
    target = uniform * _sum(shares)
    running, chosen = jnp.zeros_like(target), jnp.zeros(target.shape, jnp.int32)
    for share in shares[:-1]:
        running = running + share
        chosen = chosen + (running <= target)
    return chosen


def transitions(paths: Paths, weights: Array) -> Array:
    """Weighted number of steps from state to state, ``(state, state)`` or as of :class:`Chain`.

    Args:
        paths: what is known of them.
        weights: of the sequences, ``(sequence,)``.
    """
    steps = paths.left.shape[1]
    left, right = (v.reshape(len(v), -1) for v in (paths.left, paths.right))
    right = right * at_all_steps(weights, steps)
    if paths.weigh.ndim == 3:
        before, here = paths.weigh.shape[:2]
        left = left.reshape(before, here, -1)
        right = right.reshape(before, here, -1)[:here]
        return paths.weigh * jnp.einsum("pin,ikn->pik", left, right)
    return paths.weigh * jnp.einsum("in,jn->ij", left, right)


def at_all_steps(weights: Array, steps: int) -> Array:
    """Of sequences ``(sequence,)`` or steps ``(step, sequence)``, for every place: ``(place,)``."""
    whole = jnp.broadcast_to(weights, (steps, weights.shape[-1]))
    return lax.optimization_barrier(whole).reshape(-1)  # else indices are divided at every place


def endings(paths: Paths, weights: Array, lengths: Array) -> Array:
    """Weighted number of sequences that ended in each state, ``(state,)``."""
    last = jax.vmap(lambda shares, place: shares[:, place], (2, 0), 1)(
        paths.states, jnp.clip(lengths - 1, 0)
    )
    return (last * weights).sum(-1)
