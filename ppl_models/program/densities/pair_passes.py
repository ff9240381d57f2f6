"""Clusters of the nodes of a network, where a cell (an edge) depends on the clusters of two rows.

No exact sum goes over the clusters of all rows.
Given all others, a row's cluster has the log-probability

    log p(z_i = k | z_others, x) = a_ik + Σ_j Σ_l q_jl L_ij(k, l) + constant

with a_ik of the row alone, L the log-densities of its cells and q_j the others' clusters, 0 or 1.
Rows are visited one after the other. A cluster drawn from these probabilities is a step of Gibbs
sampling; where q_i is set to the probabilities themselves, the sweep raises the lower bound

    log p(x) ≥ Σ_i q_i a_i + Σ_ij q_i L_ij q_j - Σ_i q_i log q_i

of the mean-field approximation, and never lowers it.

Daudin, Picard and Robin (2008), A mixture model for random graphs, Statistics and Computing 18;
Snijders and Nowicki (1997), Journal of Classification 14.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from ppl_models.errors import UnsupportedError
from ppl_models.program.densities.pair_reading import Pairs, pair_tables
from ppl_models.program.densities.units import cluster_parts
from ppl_models.program.trace.structure import Structure

SWEEPS = 60  #: of the mean-field approximation, at most
STARTS = 4  #: of it, of which the highest bound counts
GAIN = 1e-9  #: relative gain of the bound that a sweep is worth
GIBBS_SWEEPS = 8  #: from clusters at random to a start, and from the approximation to a draw


class Tables(NamedTuple):
    """Log-densities at values of the global sites: of rows ``(cluster, row)``, and of cells."""

    rows: Array
    cells: Array  #: ``(cluster, cluster, cell)``


def pairs_of(model: Any) -> Pairs:
    """The rows of a network's cells.

    Raises:
        UnsupportedError: data whose cells nobody has sorted.
    """
    if model.pairs is None:
        raise UnsupportedError(
            "cells that depend on two rows are not simulated here: draw data with generate, and "
            "fit them one by one"
        )
    pairs: Pairs = model.pairs
    return pairs


def tables_of(model: Any, values: Mapping[str, Array], structure: Structure) -> Tables:
    """The log-densities of rows and of their cells."""
    rows, _ = cluster_parts(model, values, structure, ())
    return Tables(rows, pair_tables(model, values, structure, pairs_of(model)))


def expected(tables: Tables, pairs: Pairs, responsibilities: Array) -> Array:
    """Expected log joint density of clusters and cells, ``(row,)``, cells half by each row.

    Args:
        tables: log-densities.
        pairs: the rows of the cells.
        responsibilities: probabilities of the clusters ``(cluster, row)``, rows independent.
    """
    one, other = responsibilities[:, pairs.first], responsibilities[:, pairs.second]
    alone = jnp.eye(len(responsibilities))[:, :, None] * one[:, None]
    both = jnp.where(pairs.digit < 0, alone, one[:, None] * other)
    cells = jnp.where(both > 0, both * jnp.where(both > 0, tables.cells, 0), 0).sum((0, 1)) / 2
    total = jnp.where(
        responsibilities > 0, responsibilities * jnp.where(responsibilities > 0, tables.rows, 0), 0
    ).sum(0)
    return total.at[pairs.first].add(cells).at[pairs.second].add(cells)


def bound(tables: Tables, pairs: Pairs, responsibilities: Array) -> Array:
    """The lower bound of the log-density, as a sum over rows, ``(row,)``."""
    return expected(tables, pairs, responsibilities) - jax.scipy.special.xlogy(
        responsibilities, responsibilities
    ).sum(0)


def sweep(
    key: Array, tables: Tables, pairs: Pairs, responsibilities: Array, *, draw: bool
) -> Array:
    """Visit every row once, and set its cluster's probabilities given the others'.

    Args:
        key: random key.
        tables: log-densities.
        pairs: the rows of the cells.
        responsibilities: probabilities of the clusters ``(cluster, row)``.
        draw: a cluster instead of its probabilities.
    """
    count = responsibilities.shape[1]
    alone = jnp.diagonal(tables.cells, axis1=0, axis2=1).T  # (cluster, cell)
    own = jnp.where(pairs.digit < 0, alone, 0.0)
    rows = tables.rows.at[:, pairs.first].add(own)

    def visit(responsibilities: Array, each: tuple[Array, Array]) -> tuple[Array, None]:
        row, key = each
        here = tables.cells[:, :, pairs.cells[row]]  # (cluster, cluster, entry)
        here = jnp.where(pairs.turned[row], here.swapaxes(0, 1), here)
        others = jnp.where(pairs.present[row], responsibilities[:, pairs.other[row]], 0.0)
        weighed = jnp.where(others > 0, others * jnp.where(others > 0, here, 0), 0.0)
        logits = rows[:, row] + weighed.sum((1, 2))
        if draw:
            chosen = random.categorical(key, logits)
            responsibility = (jnp.arange(len(logits)) == chosen).astype(responsibilities.dtype)
        else:
            responsibility = jax.nn.softmax(logits)
        return responsibilities.at[:, row].set(responsibility), None

    return lax.scan(visit, responsibilities, (jnp.arange(count), random.split(key, count)))[0]


def mean_field(
    tables: Tables, pairs: Pairs, responsibilities: Array, sweeps: int = SWEEPS
) -> Array:
    """Sweep until the bound rises no more, ``(cluster, row)``."""
    key = random.key(0)  # nothing is drawn

    def going(state: tuple[Array, Array, Array, Array]) -> Array:
        _, height, gain, count = state
        return (count < sweeps) & (gain > GAIN * (1 + jnp.abs(height)))

    def step(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        responsibilities, height, _, count = state
        responsibilities = sweep(key, tables, pairs, responsibilities, draw=False)
        new_height = bound(tables, pairs, responsibilities).sum()
        return responsibilities, new_height, new_height - height, count + 1

    first = bound(tables, pairs, responsibilities).sum()
    state = (
        responsibilities,
        first,
        jnp.full((), jnp.inf, responsibilities.dtype),
        jnp.zeros((), int),
    )
    return lax.while_loop(going, step, state)[0]


def approximated(model: Any, values: Mapping[str, Array], structure: Structure) -> Array:
    """Probabilities of the clusters by the highest of several mean-field bounds.

    ``(cluster, row)``; it is started from clusters at random.
    """
    tables, pairs = tables_of(model, values, structure), pairs_of(model)
    return _best(tables, pairs, structure)


def _best(tables: Tables, pairs: Pairs, structure: Structure) -> Array:
    shape = (structure.rows,)

    def from_start(key: Array) -> tuple[Array, Array]:
        # draws leave the many lower optima that the bound's sweeps would stay in
        first, *keys = random.split(key, 1 + GIBBS_SWEEPS)
        begun = random.randint(first, shape, 0, structure.clusters)
        responsibilities = (begun == jnp.arange(structure.clusters)[:, None]).astype(
            tables.rows.dtype
        )
        responsibilities = _gibbs_sweeps(jnp.stack(keys), tables, pairs, responsibilities)
        responsibilities = mean_field(
            tables, pairs, 0.9 * responsibilities + 0.1 / structure.clusters
        )
        return responsibilities, bound(tables, pairs, responsibilities).sum()

    solutions, bounds = lax.map(from_start, random.split(random.key(11), STARTS))
    return solutions[bounds.argmax()]


def _gibbs_sweeps(keys: Array, tables: Tables, pairs: Pairs, responsibilities: Array) -> Array:
    """After as many sweeps of Gibbs sampling as there are keys."""
    return lax.scan(
        lambda s, k: (sweep(k, tables, pairs, s, draw=True), None), responsibilities, keys
    )[0]


def logits(model: Any, values: Mapping[str, Array], structure: Structure) -> Array:
    """``log q_ik`` plus a row's part of the lower bound, ``(cluster, row)``.

    Its softmax is the mean-field approximation of the clusters' probabilities, and its sums over
    clusters add up to the lower bound of the network's log-density.
    """
    tables, pairs = tables_of(model, values, structure), pairs_of(model)
    responsibilities = lax.stop_gradient(_best(tables, pairs, structure))
    return jnp.log(responsibilities) + bound(tables, pairs, responsibilities)


def draw_given(
    key: Array,
    model: Any,
    values: Mapping[str, Array],
    structure: Structure,
    assignment: Array | None = None,
) -> Array:
    """Clusters ``(row,)`` drawn one after the other given the rest.

    Args:
        key: random key.
        model: the program with its data.
        values: of the global sites.
        structure: what was read off the program.
        assignment: where one sweep starts from; None starts from the mean-field approximation, and
            takes several.
    """
    tables, pairs = tables_of(model, values, structure), pairs_of(model)
    clusters = jnp.arange(structure.clusters)
    if assignment is not None:
        responsibilities = (assignment == clusters[:, None]).astype(tables.rows.dtype)
        return sweep(key, tables, pairs, responsibilities, draw=True).argmax(0).astype(jnp.int32)
    responsibilities = _best(tables, pairs, structure)
    first, *keys = random.split(key, 1 + GIBBS_SWEEPS)
    drawn = random.categorical(first, jnp.log(responsibilities), axis=0)
    responsibilities = (drawn == clusters[:, None]).astype(tables.rows.dtype)
    moved = _gibbs_sweeps(jnp.stack(keys), tables, pairs, responsibilities)
    return moved.argmax(0).astype(jnp.int32)
