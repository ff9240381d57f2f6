"""Relabelling of a start's clusters to the order of the highest log joint density.

Where priors tell clusters apart (annotators tend to give a class its own label), the same clusters
under other numbers are another local optimum, which EM never leaves: it moves responsibilities and
no label. So the clusters at the end of every start are exchanged in pairs as long as that raises
the log joint density, and EM continues from there.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models.inference.problem import Problem
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.axes import permute_clusters
from ppl_models.program.trace.structure import Structure

GAIN = 1e-9  #: least relative gain that counts


def reordered(problem: Problem, values: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Global sites ``(start, ...)`` relabelled; None if no start gains by another order.

    Args:
        problem: program and data.
        values: where the starts ended.
    """
    swaps = problem.label_swaps
    if swaps is None or swaps.sticks is not None or not any(swaps.axes.values()):
        return None
    axes = tuple((n, tuple(a)) for n, a in swaps.axes.items())
    moved = {n: np.array(v) for n, v in values.items()}
    better = False
    for start in range(len(next(iter(values.values())))):
        own = {n: jnp.asarray(v[start]) for n, v in values.items()}
        order, gain, size = _best_order(problem.model, own, structure=problem.structure, axes=axes)
        if gain > GAIN * (1 + abs(size)):
            better = True
            for name, value in permute_clusters(own, swaps.axes, np.asarray(order)).items():
                moved[name][start] = value
    return moved if better else None


@partial(jax.jit, static_argnames=("structure", "axes"))
def _best_order(
    model: Model, values: Globals, *, structure: Structure, axes: Any
) -> tuple[Array, Array, Array]:
    """The order of the clusters, what the log joint density gains by it, and that density."""
    own = dict(axes)
    pairs = jnp.asarray(list(combinations(range(structure.clusters), 2)))

    def log_prior(order: Array) -> Array:
        return model.log_prior(permute_clusters(values, own, order), structure)

    def exchange(state: tuple[Array, Array], pair: Array) -> tuple[tuple[Array, Array], None]:
        order, height = state
        i, j = pair
        other = order.at[i].set(order[j]).at[j].set(order[i])
        new = log_prior(other)
        better = new > height
        return (jnp.where(better, other, order), jnp.where(better, new, height)), None

    def rounds(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        order, height, _ = state
        (order, new), _ = lax.scan(exchange, (order, height), pairs)
        return order, new, new > height

    start = jnp.arange(structure.clusters)
    first = (start, log_prior(start), jnp.asarray(True))
    order, _, _ = lax.while_loop(lambda state: state[2], rounds, first)
    before = log_joint(model, structure, values)
    after = log_joint(model, structure, permute_clusters(values, own, order))
    return order, after - before, before
