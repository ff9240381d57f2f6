"""Split–merge moves: where EM goes on after two components became one and one became two.

EM does not repair a poor start: two components in one group of rows, one component for two. A move
removes a component that costs little log-likelihood, whose rows go to the others, and splits
another one, after Ueda, Nakano, Ghahramani and Hinton (2000), SMEM algorithm for mixture models,
Neural Computation 12. It acts on the responsibilities (of hidden chains, on the probabilities of
states), from which an M-step computes parameters, so that it serves any program with sufficient
statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.distributions.contraction import matmul
from ppl_models.inference.initial.from_weights import Update, smoothed, values_from_weights
from ppl_models.inference.initial.points import seed_points, window_means
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Assign, hard, log_joint_and_latents
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.axes import CHAIN
from ppl_models.program.parameters.label_symmetry import permute_labels
from ppl_models.program.runtime.compiling import quickly

ROUNDS = 4  #: of k-means with two centres that find a split
SPAN = 8  #: most steps to both sides over which the points of a split average
CHEAPEST = 3  #: components among which the one that is taken away is drawn
POOL = 24  #: moves from every start that are looked at
THAWED = (0.05, 0.15, 0.3, 0.6)  #: shares of every row spread over all components instead
PARTIAL = 4  #: iterations on the points by which moves are compared


class Move(NamedTuple):
    """Components: the rows of ``removed`` go to all others, and it is then half of ``split``."""

    removed: int
    split: int


THAW = Move(-1, -1)  #: nothing is removed or split


def movable(problem: Problem) -> bool:
    """Whether components may change places, and are clusters or the states of one emission."""
    latent = sum(family.latent for family in problem.families.values())
    hidden = problem.structure.assignment is not None or latent == 1
    return hidden and problem.labels.full


class Moves:
    """Moves from points of a program's global sites.

    Args:
        problem: program and data; its components may change places.
        update: which sites an M-step moves.
        assign: soft or hard assignment.
        key: random key.
    """

    def __init__(self, problem: Problem, update: Update, assign: Assign, key: Array):
        pick, self._key = random.split(key)
        self._problem, self._update, self._assign = problem, update, assign
        self._points, self._arrays, weights = seed_points(problem, pick)
        self._generator = np.random.default_rng(np.asarray(random.key_data(pick)).ravel())
        rows = len(next(iter(self._arrays.values())))
        counted = jnp.ones(rows) if weights is None else weights
        self._shared = (problem.model, self._arrays, problem.chunks.centres, counted)

    def draw(self, values: Globals, tries: int) -> list[dict[str, np.ndarray]]:
        """Values after the most promising of many moves, ``tries`` times ``(start, ...)``.

        Args:
            values: of the global sites, ``(start, ...)``.
            tries: moves from every start.
        """
        without = np.asarray(
            _without_each(*self._shared, values, update=self._update, assign=self._assign)
        )
        chosen = [
            draw_moves(self._generator, heights, POOL) + [THAW] * len(THAWED) for heights in without
        ]
        pool = POOL + len(THAWED)
        spread = np.r_[self._generator.choice((0.0, *THAWED[:2]), POOL), THAWED]
        axes = self._problem.labels.axes
        base = [{n: np.asarray(v[i]) for n, v in values.items()} for i in range(len(chosen))]
        copied = [
            [_copied(own, axes, move) for move in moves]
            for own, moves in zip(base, chosen, strict=True)
        ]
        self._key, own_key = random.split(self._key)
        moved, heights = _moved(
            *self._shared,
            self._points,
            values,
            jax.tree.map(
                lambda *v: np.stack(v).reshape(len(base), pool, *v[0].shape), *sum(copied, [])
            ),
            np.array(chosen),
            np.tile(spread, (len(base), 1)),
            random.split(own_key, (len(base), pool)),
            update=self._update,
            assign=self._assign,
        )
        height = np.nan_to_num(np.asarray(heights), nan=-np.inf)
        thawed = POOL + height[:, POOL:].argmax(1)
        order = np.argsort(-height[:, :POOL], 1, kind="stable")
        order = np.concatenate([thawed[:, None], order], 1)
        lanes = np.arange(len(base))
        return [
            {n: np.asarray(v)[lanes, order[:, i]] for n, v in moved.items()} for i in range(tries)
        ]


def draw_moves(generator: np.random.Generator, without: np.ndarray, count: int) -> list[Move]:
    """Moves that take one of the least missed components away, and split another.

    Args:
        generator: of the random numbers.
        without: the objective without each of the components, ``(component,)``.
        count: moves.
    """
    cheapest = np.argsort(-without, kind="stable")[:CHEAPEST]
    moves: list[Move] = []
    while len(moves) < count:
        removed = int(cheapest[min(int(generator.geometric(0.5)) - 1, len(cheapest) - 1)])
        others = [k for k in generator.permutation(len(without)) if k != removed]
        moves += [Move(removed, int(k)) for k in others[: max(1, len(others) // 2)]]
    return moves[:count]


def _copied(values: Mapping[str, np.ndarray], axes: Any, move: Move) -> dict[str, Any]:
    """Global sites in which a component is a copy of another one."""
    count = max((v.shape[a] for n, v in values.items() for a, _ in axes.get(n, ())), default=0)
    order = np.arange(count)
    if move != THAW:
        order[move.removed] = move.split
    copied = permute_labels(values, axes, order)
    for name, value in values.items():
        # a distribution over components has one of them twice now
        total = np.asarray(value).sum(-1) if np.ndim(value) and axes.get(name) else np.zeros(1)
        if np.allclose(total, 1, atol=1e-5):
            copied[name] = copied[name] / copied[name].sum(-1, keepdims=True)
    return copied


@quickly(static=("update", "assign"))
def _without_each(
    model: Model,
    arrays: dict[str, Array],
    centres: dict[str, Array],
    counted: Array,
    values: Globals,
    *,
    update: Update,
    assign: Assign,
) -> Array:
    """The rows' log-normaliser without each of the components, ``(start, component)``."""
    count = _components(model, update, values)

    def one(values: Globals) -> Array:
        without = lambda k: component_weights(  # noqa: E731
            model, update, arrays, centres, counted, values, assign, k
        )[1]
        return lax.map(without, jnp.arange(count))

    return lax.map(one, values)


def _components(model: Model, update: Update, values: Globals) -> int:
    """Number of clusters, or of hidden states."""
    if update.structure.assignment is not None:
        return update.structure.clusters
    pieces = model.pieces({n: v[0] for n, v in values.items()}, update.structure)
    return max(family.states for family in pieces.families().values())


def component_weights(
    model: Model,
    update: Update,
    arrays: dict[str, Array],
    centres: dict[str, Array],
    counted: Array,
    values: Globals,
    assign: Assign,
    removed: Array | int = -1,
) -> tuple[Array, Array]:
    """Probabilities of clusters, or of the hidden states of all steps, ``(component, point)``.

    And the rows' log-normaliser, summed.

    Args:
        model: the program with data.
        update: its structure.
        arrays: the rows by emission.
        centres: a point amid every site's data.
        counted: how often each of the rows counts.
        values: of the global sites.
        assign: soft or hard assignment.
        removed: a component that has no rows; -1: none.
    """
    structure, gaps = update.structure, dict(update.missing)
    pieces = model.pieces(values, structure)
    families = pieces.families()
    prepared = {
        n: f.prepare(arrays[n], missing=gaps[n], centre=centres[n]) for n, f in families.items()
    }
    how = "best" if assign is hard else "mean"
    if structure.assignment is not None:
        chunks = Chunks((), jnp.zeros(0), centres, update.missing)
        logits, _ = log_joint_and_latents(pieces, families, prepared, chunks, how, {})
        logits = jnp.where(jnp.arange(len(logits))[:, None] == removed, -jnp.inf, logits)
        weights, normaliser = assign(logits, counted.astype(logits.dtype))
        return weights, normaliser.sum()
    ((name, family),) = ((n, f) for n, f in families.items() if f.latent)
    flat = _without_state(family.components(), removed)
    options: dict[str, Any] = {"missing": gaps[name], "centre": centres[name], "how": how}
    logits, inferred = flat.infer_latents(prepared[name], **options)
    paths = flat.path_posterior(inferred, counted[None])
    states = flat.markov_chain.last_states(paths.states, 1)[0]
    return states.reshape(flat.states, -1), (logits * counted).sum()


def _without_state(family: Any, removed: Array | int) -> Any:
    """A hidden chain that never enters a state."""

    def masked(table: Array) -> Array:
        stays = jnp.arange(table.shape[-1]) != removed
        remaining = jnp.where(stays, table, 0)
        total = remaining.sum(-1, keepdims=True)
        return jnp.where(total > 0, remaining / jnp.where(total > 0, total, 1), stays / stays.sum())

    tables = {n: masked(getattr(family, n)) for n in CHAIN if n in family.parameter_dims}
    return family.replace(**tables)


@quickly(static=("update", "assign"))
def _moved(
    model: Model,
    arrays: dict[str, Array],
    centres: dict[str, Array],
    counted: Array,
    points: Array,
    values: Globals,
    copied: Globals,
    moves: Array,
    spread: Array,
    keys: Array,
    *,
    update: Update,
    assign: Assign,
) -> tuple[Globals, Array]:
    """Global sites after moves from every start, ``(start, move, ...)``, and their objective."""

    def one(
        values: Globals, proposal: tuple[Globals, Array, Array, Array]
    ) -> tuple[Globals, Array]:
        copied, move, fraction, key = proposal
        removed, split = move
        weights, _ = component_weights(
            model, update, arrays, centres, counted, values, assign, removed
        )
        near = points
        if update.structure.assignment is None:
            width_key, key = random.split(key)
            sequences = len(next(iter(arrays.values())))
            near = window_means(points, sequences, random.randint(width_key, (), 0, SPAN + 1))
        second = _second_half(near, weights[split], key)
        moved = weights.at[removed].set(weights[split] * second)
        moved = moved.at[split].multiply(1 - second)
        weights = jnp.where(removed < 0, weights, moved)
        weights = (1 - fraction) * weights + fraction / len(weights) * weights.sum(0)

        def iterate(
            index: int, state: tuple[Globals, Array, Array]
        ) -> tuple[Globals, Array, Array]:
            values, weights, _ = state
            values = values_from_weights(model, update, arrays, centres, values, weights, sweeps=1)
            pieces = model.pieces(values, update.structure)
            prior: Any = 0.0 if update.flat else pieces.log_prior
            weights, normaliser = component_weights(
                model, update, arrays, centres, counted, values, assign
            )
            return values, weights, normaliser + prior

        state = copied, weights, jnp.zeros((), weights.dtype)
        values, _, height = lax.fori_loop(0, PARTIAL, iterate, state)
        return values, height

    def from_start(of_start: Any) -> Any:
        values, *each = of_start
        return lax.map(partial(one, values), tuple(each))

    return lax.map(from_start, (values, copied, moves, spread, keys))


def _second_half(points: Array, weights: Array, key: Array) -> Array:
    """Which points of a component go to the second one of two, ``(point,)``.

    Two seeds are drawn as k-means++ draws them, weighted, and improved by a few rounds of k-means.
    """
    first_key, second_key = random.split(key)
    tiny = jnp.finfo(points.dtype).tiny
    first = points[random.categorical(first_key, jnp.log(jnp.maximum(weights, tiny)))]
    far = weights * ((points - first) ** 2).sum(-1)
    second = points[random.categorical(second_key, jnp.log(jnp.maximum(far, tiny)))]

    def nearer_second(centres: Array) -> Array:
        distances = ((points[None] - centres[:, None]) ** 2).sum(-1)
        return (distances[1] < distances[0]).astype(points.dtype)

    def moved(_: int, centres: Array) -> Array:
        side = nearer_second(centres)
        responsibilities = jnp.stack([1 - side, side]) * weights
        counts = responsibilities.sum(-1, keepdims=True)
        means = matmul(responsibilities, points) / jnp.maximum(counts, tiny)
        return jnp.where(counts > 0, means, centres)

    centres = lax.fori_loop(0, ROUNDS, moved, jnp.stack([first, second]))
    halves = smoothed(jnp.stack([1 - nearer_second(centres), nearer_second(centres)]))
    return halves[1]
