"""The density of a row together with its own continuous sites, these as unconstrained vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.primitives import Messenger

from ppl_models.program.densities.units import parts_of, units_of
from ppl_models.program.handlers.enumeration import AllValues
from ppl_models.program.trace.layout import STEP

if TYPE_CHECKING:
    from ppl_models.program.model import Model
    from ppl_models.program.trace.sites import Site
    from ppl_models.program.trace.structure import Structure


Density = Callable[[Array], Array]  #: of all rows' vectors (row, dimension): (row,)


class _AtVectors(Messenger):
    """Set the rows' continuous sites by unconstrained vectors; collects the volume of the maps."""

    def __init__(self, fn: Callable, structure: Structure, vectors: Array):
        super().__init__(fn)
        self.free = _split(structure, vectors)
        self.axes = {site.name: _row_axis(site, structure) for site in structure.local_sites}
        self.volume: Array = jnp.zeros(structure.rows, vectors.dtype)
        self.values: dict[str, Array] = {}
        for site in structure.local_sites:
            if STEP in site.dims:  # which a scan takes from NumPyro's own handlers alone
                self._place(site.name, biject_to(site.support))
        self.fn = handlers.substitute(fn, data=dict(self.values))

    def process_message(self, message: dict[str, Any]) -> None:
        name = message.get("name")
        if message["type"] != "sample" or name not in self.free or name in self.values:
            return
        self._place(name, biject_to(message["fn"].support))
        message["value"] = self.values[name]

    def _place(self, name: str, transform: Any) -> None:
        value = transform(self.free[name])
        change = transform.log_abs_det_jacobian(self.free[name], value)
        axis = self.axes[name]
        if axis is not None:
            change = jnp.moveaxis(change, axis, 0)
        self.volume = self.volume + change.reshape(len(self.volume), -1).sum(1)
        self.values[name] = value


def _row_axis(site: Site, structure: Structure) -> int | None:
    """The rows' axis; None of a path of the one series that there is."""
    return site.dims.index(structure.plate) if structure.plate in site.dims else None


def _shape(site: Site, structure: Structure) -> tuple[int, ...]:
    """Shape of a site's image in the unconstrained space, of as many rows as there are."""
    shape, axis = list(site.unconstrained_shape), _row_axis(site, structure)
    if axis is not None:
        shape[axis] = structure.rows
    return tuple(shape)


def _sizes(structure: Structure) -> list[int]:
    """Numbers that every site has of one row."""
    return [
        math.prod(_shape(site, structure)) // max(1, structure.rows)
        for site in structure.local_sites
    ]


def dimension(structure: Structure) -> int:
    """Numbers of one row that are integrated out."""
    return sum(_sizes(structure))


def _split(structure: Structure, vectors: Array) -> dict[str, Array]:
    """Images of the rows' sites from vectors ``(row, dimension)``."""
    ends = np.cumsum(_sizes(structure))
    pieces = jnp.split(vectors, ends[:-1], axis=1)
    free = {}
    for site, piece in zip(structure.local_sites, pieces, strict=True):
        axis, shape = _row_axis(site, structure), list(_shape(site, structure))
        if axis is None:
            free[site.name] = piece.reshape(shape)
            continue
        shape.insert(0, shape.pop(axis))
        free[site.name] = jnp.moveaxis(piece.reshape(shape), 0, axis)
    return free


def trace_at_vectors(
    model: Model, values: Mapping[str, Array], structure: Structure, vectors: Array, assignment: Any
) -> tuple[_AtVectors, dict[str, Any]]:
    """The program with the rows' sites at ``vectors``, and its trace there."""
    sites = {n: values[n] for n in structure.names}
    program = handlers.substitute(model.held(), data=sites)
    if structure.indexed and assignment is not None:
        assignment = jnp.reshape(assignment, structure.assignment_shape)
    located = _AtVectors(AllValues(program, structure.values_of(assignment)), structure, vectors)
    return located, handlers.trace(handlers.seed(located, random.key(0))).get_trace()


def row_log_joint(
    model: Model,
    values: Mapping[str, Array],
    structure: Structure,
    vectors: Array,
    assignment: Array,
) -> Array:
    """``log p(z_n, u_n, x_n | θ)`` of every row, u in its unconstrained space, ``(row,)``.

    Args:
        model: the program with its data.
        values: global sites.
        structure: what was read off the program.
        vectors: of the rows' continuous sites, ``(row, dimension)``.
        assignment: clusters ``(row,)``; of no account where nothing is assigned.
    """
    located, trace = trace_at_vectors(model, values, structure, vectors, assignment)
    rows, cells = parts_of(model, trace, structure, structure.indexed)
    total = rows + located.volume
    for name, density in cells.items():
        place = units_of(model).rows[name]
        total = total + jax.ops.segment_sum(density, place, structure.rows)
    return total


def density_of(
    model: Model, values: Mapping[str, Array], structure: Structure, assignment: Array
) -> Density:
    """:func:`row_log_joint` as a function of the vectors alone."""
    return lambda vectors: row_log_joint(model, values, structure, vectors, assignment)


def expand(density: Density, vectors: Array) -> tuple[Array, Array, Array]:
    """Value ``(row,)``, gradient ``(row, dimension)`` and Hessian of every row."""

    def summed(vectors: Array) -> tuple[Array, Array]:
        log_density = density(vectors)
        return log_density.sum(), log_density

    def column(unit: Array) -> Array:
        towards = jnp.broadcast_to(unit, vectors.shape)
        return jax.jvp(lambda v: jax.grad(summed, has_aux=True)(v)[0], (vectors,), (towards,))[1]

    (_, value), gradient = jax.value_and_grad(summed, has_aux=True)(vectors)
    hessian = jax.vmap(column)(jnp.eye(vectors.shape[1], dtype=vectors.dtype))
    return value, gradient, jnp.moveaxis(hessian, 0, -1)
