"""The log joint density at given assignments.

A program that is run at the rows' clusters hands every row the parameters of its cluster: a matrix
for each, which is factorised or looked up row by row. Of few clusters the densities of all rows
under each, by products of matrices, take less: a sixth for covariances of five features. Which
cluster a row is of then only picks among them, so that the numbers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.priors.scales_and_blocks import prior_density
from ppl_models.distributions.scaled import times, weigh
from ppl_models.program.trace.structure import Structure

MOST = 2  #: clusters a parameter of a cell, up to which products take less


def log_joint_given(
    model: Any, values: Mapping[str, Array], structure: Structure, assignment: Array | None
) -> Array:
    """Log joint density of globals, assignments and rows, of a program without a chain.

    Args:
        model: the program with its data.
        values: of the global sites.
        structure: what was read off the program.
        assignment: cluster of every row ``(row,)``, or None where there is none.
    """
    trace = model.trace_at(values, structure, assignment=assignment)
    chosen = _by_products(model, values, structure, trace, assignment)
    total = jnp.zeros(())
    for name, site in trace.items():
        if site["type"] != "sample" or name in model.fixed:
            continue
        fn, scale = weigh(site)
        if name in chosen:
            density = chosen[name]
        elif name in structure.emissions:
            density = observed_log_prob(fn, model.data[name])
        else:
            density = prior_density(fn, site["value"])
        total += times(scale, density).sum()
    return total


def _by_products(
    model: Any,
    values: Mapping[str, Array],
    structure: Structure,
    trace: Mapping[str, Any],
    assignment: Array | None,
) -> dict[str, Array]:
    """Log-densities ``(row,)`` of the emissions of which products take less."""
    if assignment is None or structure.indexed or structure.coupled or structure.locals:
        return {}
    every = {n: trace[n]["fn"] for n in structure.emissions}
    wanted = [n for n, fn in every.items() if _takes_less(unwrap(fn), structure.clusters)]
    emissions = model.pieces(values, structure).emissions if wanted else {}
    chosen = {}
    for name in wanted:
        if not _large(emissions[name]):
            density = observed_log_prob(emissions[name], model.data[name])
            density = jnp.broadcast_to(density, (structure.clusters, structure.rows))
            chosen[name] = jnp.take_along_axis(density, assignment[None], axis=0)[0]
    return chosen


def _takes_less(distribution: Any, clusters: int) -> bool:
    """Whether rows have so many parameters each that products under few clusters take less."""
    return any(clusters <= MOST * size for size in _large(distribution))


def _large(distribution: Any) -> list[float]:
    """Numbers a cell of the parameters that have more than cells, and that rows differ in."""
    family = as_family(distribution)
    if family is None or family.latent:
        return []
    sizes = []
    for name, dims in family.parameter_dims.items():
        shape = jnp.shape(getattr(family, name))
        outer, event = shape[: len(shape) - dims], shape[len(shape) - dims :]
        size = math.prod(event) / max(1, math.prod(family.event_shape))
        if size > 1 and outer[-1:] not in ((), (1,)):
            sizes.append(size)
    return sizes
