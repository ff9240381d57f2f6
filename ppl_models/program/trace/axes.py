"""Names of the axes of a trace's sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ppl_models.program.trace.layout import STEP, is_scanned, plates_of


def site_axes(name: str, site: Mapping[str, Any], value_ndim: int) -> tuple[str, ...]:
    """Names of a site's axes: plates for the batch axes, ``event_dims`` for the others."""
    plates = plates_of(site)
    event = tuple(site.get("infer", {}).get("event_dims", ()))
    batch_count = value_ndim - len(event)
    if site["type"] == "sample":
        event_ndim = site["fn"].event_dim
        batch_count = value_ndim - event_ndim
        if len(event) != event_ndim:
            event = tuple(f"{name}_dim_{i}" for i in range(event_ndim))
    batch = [plates.get(i - batch_count, f"{name}_axis_{i}") for i in range(batch_count)]
    if is_scanned(site):
        batch[0] = STEP
    return (*batch, *event)


def derived_dims(name: str, site: Mapping[str, Any], clusters: int) -> tuple[str, ...]:
    """Names of a deterministic site's axes; one as long as there are clusters is theirs."""
    shape = jnp.shape(site["value"])
    dims = list(site_axes(name, site, len(shape)))
    unnamed = [i for i, d in enumerate(dims) if d.startswith(f"{name}_axis")]
    mine = [i for i in unnamed if shape[i] == clusters]
    if "cluster" not in dims and mine:
        dims[mine[0]] = "cluster"
    return tuple(dims)


def row_dims(name: str, site: Mapping[str, Any], plate: str, rows: int) -> tuple[str, ...]:
    """Names of the axes of a deterministic site within the data plate, the rows' first."""
    shape = jnp.shape(site["value"])
    first = () if shape[:1] != (rows,) else (plate,)
    return (*first, *(f"{name}_dim_{i}" for i in range(len(first), len(shape))))


def chain_dims(name: str, site: Mapping[str, Any], chain: Any) -> tuple[str, ...]:
    """Names of the axes of a site with a value for every step of a chain, the steps' first."""
    count = jnp.ndim(site["value"])
    events = site["fn"].event_dim if site["type"] == "sample" else 0
    plates = {frame.name: count - events + frame.dim for frame in site["cond_indep_stack"]}
    dims = [STEP, *(f"{name}_dim_{i}" for i in range(count - 1))]
    for plate, _ in chain.plates:
        if plate in plates:
            dims[plates[plate]] = plate
    return tuple(dims)
