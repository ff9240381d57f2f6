"""Log-densities of rows whose data are cells elsewhere: behind an index array, in an inner plate.

The program itself says what a cell's density is under every cluster: it is run with all rows in
cluster k, for every k at once. The cells' densities are then summed up by row; which row each
belongs to is read off the program once, see ``unit_reading``.

Cells that the program cannot tell apart (the same word, the same label by the same annotator) have
one density, which is computed once: of a million labels by a hundred annotators in five classes
there are five hundred densities a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.priors.scales_and_blocks import prior_density
from ppl_models.distributions.scaled import times, weigh
from ppl_models.errors import UnsupportedError
from ppl_models.program.trace.data_sites import log_factor, possible_values
from ppl_models.program.trace.structure import Structure


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Units:
    """Which row each cell belongs to, and which cells differ.

    Args:
        rows: emission -> row of every cell, ``(cell,)``.
        distinct: data with the lines that differ only; None where all are computed.
        line: which of them each line is, ``(line,)``.
        ordered: emissions whose cells are in the order of their rows; static.
    """

    rows: dict[str, Array]
    distinct: dict[str, Array] | None = None
    line: Array | None = None
    ordered: tuple[str, ...] = field(default=(), metadata={"static": True})


def cluster_parts(
    model: Any, values: Mapping[str, Array], structure: Structure, names: tuple[str, ...]
) -> tuple[Array, dict[str, Array]]:
    """What belongs to the rows ``(cluster, row)``, and to cells ``(cluster, cell)`` by emission.

    Args:
        model: the program with its data.
        values: of the global sites.
        structure: what was read off the program.
        names: emissions whose cells are wanted.
    """

    def of_cluster(cluster: Array) -> tuple[Array, dict[str, Array]]:
        assignment = jnp.full(structure.assignment_shape, cluster)
        return assigned_parts(model, values, structure, assignment, names)

    return jax.vmap(of_cluster)(jnp.arange(structure.clusters))


def assigned_parts(
    model: Any,
    values: Mapping[str, Array],
    structure: Structure,
    assignment: Array,
    names: tuple[str, ...],
) -> tuple[Array, dict[str, Array]]:
    """The same with the rows in given clusters: ``(row,)`` and ``(cell,)`` by emission."""
    trace = model.trace_at(values, structure, assignment=assignment)
    return parts_of(model, trace, structure, names)


def parts_of(
    model: Any, trace: Mapping[str, Any], structure: Structure, names: tuple[str, ...]
) -> tuple[Array, dict[str, Array]]:
    """The same of a trace with the rows in given clusters."""
    rows = jnp.zeros(structure.rows)
    shape = structure.assignment_shape if structure.indexed else (structure.rows,)
    for name in structure.discrete:
        fn, scale = weigh(trace[name])
        if structure.labelled is not None:
            scale = trace[name].get("scale")  # the mask says which rows are known
        density = times(scale, fn.log_prob(trace[name]["value"]))
        rows = rows + jnp.broadcast_to(density, shape).reshape(-1)
    for name in (*structure.given_locals, *structure.locals):
        fn, scale = weigh(trace[name])
        density = times(scale, prior_density(fn, trace[name]["value"]))
        rows = rows + by_row(density, trace[name], structure)
    for name in structure.row_factors:
        rows = rows + log_factor(trace[name])
    if structure.labelled is not None:
        values = {n: trace[n]["value"] for n in structure.discrete}
        possible = possible_values(structure, trace, values).reshape(-1)
        rows = jnp.where(possible, rows, -jnp.inf)
    cells = {}
    for name in structure.emissions:
        if name not in structure.indexed:
            rows = rows + _log_density(model, trace[name], name)
        elif name in names:
            cells[name] = _log_density(model, trace[name], name).reshape(-1)
    return rows, cells


def by_row(log_density: Array, site: Mapping[str, Any], structure: Structure) -> Array:
    """Log-densities of a site in the rows' plate, summed over all its other axes, ``(row,)``.

    Args:
        log_density: of the site, which broadcasts with its batch axes.
        site: of a trace in which the discrete sites have one value a row.
        structure: what was read off the program.
    """
    dims = {frame.name: frame.dim for frame in site["cond_indep_stack"]}
    batch = jnp.broadcast_shapes(jnp.shape(log_density), site["fn"].batch_shape)
    per_row = jnp.broadcast_to(log_density, batch)
    if structure.plate in dims:  # else all is of one row
        per_row = jnp.moveaxis(per_row, dims[structure.plate], 0)
    return per_row.reshape(structure.rows, -1).sum(1)


def _log_density(model: Any, site: Mapping[str, Any], name: str) -> Array:
    fn, scale = weigh(site)
    density = times(scale, observed_log_prob(fn, model.data.get(name, site["value"])))
    # (one distribution may have many observations, which no plate says)
    shape = jnp.broadcast_shapes(jnp.shape(density), site["fn"].batch_shape)
    return jnp.broadcast_to(density, shape)


def all_parts(
    model: Any, values: Mapping[str, Array], structure: Structure
) -> tuple[Array, dict[str, Array]]:
    """What belongs to the rows, and to those cells that differ, by emission."""
    units = units_of(model)
    if units.distinct is None:
        return cluster_parts(model, values, structure, structure.indexed)
    rows, _ = cluster_parts(model, values, structure, ())
    few = replace(model, data=units.distinct)
    return rows, cluster_parts(few, values, structure, structure.indexed)[1]


def units_of(model: Any) -> Units:
    """The rows of a program's cells.

    Raises:
        UnsupportedError: data whose cells nobody has sorted.
    """
    if model.units is None:
        raise UnsupportedError(
            "rows whose cells are given by an index array or an inner plate are not simulated "
            "here: draw data with generate, and fit them one by one"
        )
    units: Units = model.units
    return units


def logits(model: Any, values: Mapping[str, Array], structure: Structure) -> Array:
    """``log p(z_n = k, x_n)``, the cells summed up by row, ``(cluster, row)``."""
    total, cells = all_parts(model, values, structure)
    units = units_of(model)
    for name, density in cells.items():
        by_cell = density.T if units.line is None else density.T[units.line]
        total = total + _summed(by_cell, units.rows[name], structure.rows, name in units.ordered).T
    return total


def _summed(by_cell: Array, place: Array, count: int, ordered: bool) -> Array:
    return jax.ops.segment_sum(by_cell, place, count, indices_are_sorted=ordered)


def impossible_cells(model: Any, values: Mapping[str, Array], structure: Structure) -> Array:
    """The rows one of whose cells has a probability of zero, ``(cluster, row)``."""
    units, never = units_of(model), jnp.zeros((structure.clusters, structure.rows), bool)
    for name, density in all_parts(model, values, structure)[1].items():
        lowest = jnp.log(jnp.finfo(density.dtype).tiny) + 1
        by_cell = (density < lowest).T
        by_cell = by_cell if units.line is None else by_cell[units.line]
        flags = jax.ops.segment_max(by_cell.astype(jnp.int32), units.rows[name], structure.rows)
        never |= (flags > 0).T
    return never


def cell_weights(model: Any, structure: Structure, weights: Array) -> dict[str, Array]:
    """Weights of the rows ``(cluster, row)`` as those of the cells, of equal ones added up."""
    units, by_site = units_of(model), {}
    for name, row in units.rows.items():
        of_cells = weights.T[row]
        if units.line is not None and units.distinct is not None:
            count = len(units.distinct[_lined(structure)])
            of_cells = _summed(of_cells, units.line, count, False)
        by_site[name] = of_cells.T
    return by_site


def _lined(structure: Structure) -> str:
    """The emission whose lines are those of the data."""
    return structure.lines[0][0]


def expected_log_density(
    model: Any,
    values: Mapping[str, Array],
    structure: Structure,
    weights: Array,
    of_cells: Mapping[str, Array],
) -> Array:
    """Σ_n Σ_k γ_nk log p(z_n = k, x_n), at a cost that only the cells that differ have.

    Args:
        model: the program with its data.
        values: of the global sites.
        structure: what was read off the program.
        weights: γ of the rows, ``(cluster, row)``.
        of_cells: see :func:`cell_weights`.
    """
    rows, cells = all_parts(model, values, structure)
    total = weighted(weights, rows)
    for name, density in cells.items():
        total = total + weighted(of_cells[name], density)
    return total


def weighted(weights: Array, log_densities: Array) -> Array:
    """Σ γ log p; a weight of zero counts for nothing, even where the density is zero."""
    counted = weights > 0
    return jnp.where(counted, weights * jnp.where(counted, log_densities, 0.0), 0.0).sum()


def log_weights(model: Any, values: Mapping[str, Array], structure: Structure) -> Array:
    """log P(z = k), ``(cluster, row)``, or ``(cluster, 1)`` where all rows share them."""

    def of_cluster(cluster: Array) -> Array:
        assignment = jnp.full(structure.assignment_shape, cluster)
        trace = model.trace_at(values, structure, assignment=assignment)
        total = jnp.zeros(())
        for name, value in structure.values_of(cluster).items():
            fn = weigh(trace[name])[0]
            while hasattr(fn, "base_dist") and fn.event_dim == fn.base_dist.event_dim:
                fn = fn.base_dist  # without the plates' expansion
            total = total + fn.log_prob(value)
        return total.reshape(-1)

    return jax.vmap(of_cluster)(jnp.arange(structure.clusters))
