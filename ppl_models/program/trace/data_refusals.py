"""Refusals of observed sites whose data are not those of the parameter of their name."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import partial
from typing import Any

import numpy as np
from jax import Array, random
from numpyro import handlers

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.scaled import times, weigh
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace import chains
from ppl_models.program.trace.data_sites import moving_values
from ppl_models.program.trace.renamed_sites import NamedOtherwise, PlateOfData, named_as_its_source
from ppl_models.program.trace.structure import Structure


def named_otherwise(
    model: Any,
    structure: Structure,
    data_of_sites: Mapping[str, str],
    names: Set[str] = frozenset(),
) -> NamedOtherwise | None:
    """A site that observes the data of a parameter of another name; None: there is none.

    Other data than a parameter's, as they are, are refused.

    Args:
        model: the program with its data.
        structure: what was read off the program.
        data_of_sites: sites that observe a parameter as it is.
        names: of all sites of the program.

    Raises:
        UnsupportedError: which site observes something else.
    """
    for site in structure.emissions:
        known = (*structure.likelihoods, *structure.computed, *structure.swapped)
        if data_of_sites.get(site) == site or site in known:
            continue
        if site in model.data and _observes(model, site):
            continue
        if site in model.data and _observes(model, site, where_seen=True):
            if _leaves_out(model, site, structure):
                continue
            if moving_values(model, (site,)):  # by a site in the place of what is missing
                return named_as_its_source(site, frozenset({*names, *model.data}))
            raise UnsupportedError(
                f"site '{site}' is observed at numbers in place of missing cells of '{site}', "
                "which count as data: exclude them with .mask(~jnp.isnan(...))"
            )
        name = site.removesuffix("_observed")
        if name in structure.deterministic_names:
            raise UnsupportedError(
                f"site '{name}' has an obs_mask: leave it out, and give the data with NaN "
                "where they are not observed"
            )
        if site in data_of_sites:
            return NamedOtherwise(site, data_of_sites[site], frozenset(names))
        if site in model.data:
            return named_as_its_source(site, frozenset({*names, *model.data}))
        raise UnsupportedError(
            f"site '{site}' is observed, but not at data of the program: hold it by "
            f"fixed={{'{site}': ...}} where numpyro.handlers.condition did"
        )
    return None


OF_DRAWS = ("chain", "draw")  #: axes of all that a fit holds of sites
#: what a fit keeps beside the values of the sites
OF_STARTS = (
    "assignment", "collapsed", "converged", "final", "initialization", "iterations", "best",
    "objective",
)  # fmt: skip


def refuse_taken_names(trace: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Refuse sites and plates with a name that a fit uses for something else.

    Rows may be called "cluster" where nothing is assigned to clusters.

    Args:
        trace: of a run.
        data: by parameter.

    Raises:
        UnsupportedError: one does.
    """
    latent = [s for s in trace.values() if s["type"] == "sample" and not s["is_observed"]]
    assigned = any(site["fn"].support.is_discrete for site in latent)
    of_rows = (*OF_DRAWS, "cluster") if assigned else OF_DRAWS
    for name, site in trace.items():
        if site["type"] not in ("sample", "deterministic"):
            continue
        hidden = site["type"] == "sample" and not site["is_observed"]
        if hidden and not site["fn"].support.is_discrete and name in (*OF_DRAWS, *OF_STARTS):
            raise UnsupportedError(_taken("site", name))
        for frame in site["cond_indep_stack"]:
            if frame.name in (of_rows if name in data else OF_DRAWS):
                raise UnsupportedError(_taken("plate", frame.name))


def plate_of_data(trace: Mapping[str, Any], data: Mapping[str, Any]) -> PlateOfData | None:
    """A plate that data are observed in, and that is called as data along it are.

    Args:
        trace: of a run.
        data: by parameter.
    """
    for site in trace.values():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        for frame in site["cond_indep_stack"]:
            # (an index array of another length may have the name of the plate that it looks up)
            if frame.name in data and len(data[frame.name]) == frame.size:
                return PlateOfData(frame.name, frozenset({*trace, *data}))
    return None


def _taken(what: str, name: str) -> str:
    return (
        f"{what} '{name}' of the program has a name that every fit uses for something else: give "
        f"it another name, such as '{name}_'"
    )


def refuse_other_rows(trace: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Observed sites have as many entries along every plate as the plate has.

    Args:
        trace: of a run.
        data: by parameter.

    Raises:
        InputError: one has not.
    """
    for name, site in trace.items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        shape = np.shape(site["value"])
        batch = shape[: len(shape) - len(site["fn"].event_shape)]
        for frame in site["cond_indep_stack"]:
            count = batch[frame.dim] if len(batch) >= -frame.dim else 1
            alone = len(site["cond_indep_stack"]) == len(batch) == 1
            if alone and name in data and np.ndim(data[name]):
                count = len(data[name])  # x[rows], whose shape is that of the rows
            spread = count == 1 and not (name in data and frame.dim == -len(batch))
            if count != frame.size and not spread:
                holder = name if name in data else "/".join(data)
                raise InputError(
                    f"{holder}: {count} entries are observed at site '{name}', and plate "
                    f"'{frame.name}' has {frame.size}: give the program the plate's size, or let "
                    "it take that from the data (x.shape[0])"
                )


def _leaves_out(model: Any, site: str, structure: Structure) -> bool:
    """Whether the program's own density is that of the cells that are not missing."""
    values = structure.initial(make_key(8))
    own, ours = _densities_of(model, values, structure=structure, site=site)
    return np.allclose(own, ours, rtol=1e-4, atol=1e-4)


def _observes(model: Any, site: str, *, where_seen: bool = False) -> bool:
    """Whether a site that observes an image of its parameter observes the same numbers."""
    value, data = np.asarray(_observed(model, site)), np.asarray(model.data[site])
    if where_seen and value.shape == data.shape:
        value = np.where(missing_cells(data), data, value)
    # (a cast to single precision is no other data)
    same = partial(np.allclose, rtol=1e-6, atol=0, equal_nan=True)
    return value.shape == data.shape and same(value.astype(float), data.astype(float))


@quickly(static=("site",))
def _observed(model: Any, site: str) -> Array:
    """What a site observes."""
    seeded = handlers.seed(model.held(), random.key(0))
    return chains.merge_steps(handlers.trace(seeded).get_trace())[0][site]["value"]


@quickly(static=("structure", "site"))
def _densities_of(
    model: Any, values: dict[str, Array], *, structure: Structure, site: str
) -> tuple[Array, Array]:
    """Log-density of what a site observes as the program has it, and as that of its data."""
    trace = model.trace_at(values, structure)[site]
    fn, scale = weigh(trace)
    pair = trace["fn"].log_prob(trace["value"]), observed_log_prob(fn, model.data[site])
    return times(trace.get("scale"), pair[0]).sum(), times(scale, pair[1]).sum()
