"""Sorting the sites of a trace by their role, and refusals of sites that no method serves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import Delta, Distribution

from ppl_models import memory
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.trace.axes import chain_dims, derived_dims, row_dims, site_axes
from ppl_models.program.trace.chains import Chain
from ppl_models.program.trace.factors import likelihood_factors, row_factors_of, split_factors
from ppl_models.program.trace.layout import is_scanned, plates_of, read_layout
from ppl_models.program.trace.renamed_sites import LikelihoodFactor
from ppl_models.program.trace.sites import Site
from ppl_models.program.trace.structure import Structure

MOST_NAMED = 4  #: sites that a message names
#: Of the values of several discrete sites; there may be more of few cells.
MOST_COMBINATIONS = 1_000


def labels_of(trace: Mapping[str, Any], discrete: Sequence[str]) -> str | None:
    """A discrete site that is known for some rows: ``numpyro.sample(obs=, obs_mask=)``.

    NumPyro makes three of it: ``z_observed``, ``z_unobserved`` and ``z``, which is either.
    """
    for name in discrete:
        base = name.removesuffix("_unobserved")
        if base != name and f"{base}_observed" in trace and trace[base]["type"] == "deterministic":
            return base
    return None


def is_constant(site: Mapping[str, Any]) -> bool:
    """Whether a hidden site has a Delta for its prior, in a plate or of several axes too."""
    prior = site.get("fn") if site["type"] == "sample" and not site["is_observed"] else None
    while isinstance(prior, Distribution) and not isinstance(prior, Delta):
        prior = getattr(prior, "base_dist", None)
    return isinstance(prior, Delta)


def read_structure(
    trace: Mapping[str, Any],
    fixed: set[str],
    of_data: Set[str] = frozenset(),
    chain: Chain | None = None,
    parameters: Set[str] = frozenset(),
) -> Structure | LikelihoodFactor:
    """Sort the sites of a trace; of a program without an observed site whose factors are not called
    as data are, the first of these.

    Args:
        trace: of a run of the program with its data.
        fixed: names of the sites that are held.
        of_data: observed sites whose values come from the program's data.
        chain: of discrete sites, if there is one.
        parameters: names of the program's data.

    Raises:
        UnsupportedError: a program that no method here can serve, and what to write in its place.
        InputError: a program that emits nothing.
    """
    samples = {n: s for n, s in trace.items() if s["type"] == "sample"}
    for name, site in trace.items():
        if site["type"] == "param":
            raise UnsupportedError(
                f"site '{name}' is a numpyro.param: give it a prior with numpyro.sample"
            )
        if is_constant(site) and name not in fixed:
            raise UnsupportedError(
                f"site '{name}' is a Delta, which leaves nothing to estimate: write "
                f"numpyro.deterministic('{name}', ...) with its value"
            )
    hidden = {n: s for n, s in samples.items() if not s["is_observed"] and n not in fixed}
    # whole numbers outside all plates that cannot be listed are global: nothing sums them out
    integer_sites = {n: s for n, s in hidden.items() if s["fn"].support.is_discrete}
    discrete = [
        n for n, s in integer_sites.items() if plates_of(s) or s["fn"].has_enumerate_support
    ]
    combined = _combined(samples, discrete) if len(discrete) > 1 else ()
    assignment = discrete[0] if discrete else None
    labelled = labels_of(trace, discrete)
    known = set() if labelled is None else {f"{labelled}_observed"}
    factors, emissions = split_factors(samples, fixed | known)
    if chain is not None:
        return _chain_structure(trace, hidden, emissions, factors, chain)
    likelihoods: tuple[str, ...] = ()
    if not emissions:
        likelihoods = likelihood_factors(factors, parameters)
        if factors and not likelihoods:
            return LikelihoodFactor(factors[0])
        emissions = {n: samples[n] for n in likelihoods}
        of_data = {*of_data, *likelihoods}
    if not emissions:
        raise InputError(
            "the program has no observed site: write one, numpyro.sample(name, ..., obs=data), "
            "within a plate over the rows"
        )
    unplated = [n for n, s in emissions.items() if not s["cond_indep_stack"] and n not in of_data]
    if unplated:
        raise UnsupportedError(
            f"site '{unplated[0]}' is observed outside any plate, and not at data of the program: "
            f"hold it by fixed={{'{unplated[0]}': ...}} where numpyro.handlers.condition did"
        )
    paths = {n: s for n, s in hidden.items() if is_scanned(s) and n not in discrete}
    stepwise = [n for n, s in emissions.items() if is_scanned(s)]
    if assignment is not None and (stepwise or paths):
        raise UnsupportedError(
            f"site '{(*stepwise, *paths)[0]}' has a value for every step of a scan, and the "
            f"discrete site '{assignment}' none: draw '{assignment}' within the scan, or hold it "
            "by fixed="
        )
    layout = read_layout(samples[assignment] if assignment else None, emissions, paths)
    plate, rows = layout.plate, layout.rows
    factors = tuple(n for n in factors if n not in likelihoods)
    row_factors = row_factors_of(factors, samples, layout)
    factors = tuple(n for n in factors if n not in row_factors)
    clusters = 1
    if assignment is not None:
        if not samples[assignment]["fn"].has_enumerate_support:
            raise UnsupportedError(
                f"site '{assignment}' has infinitely many values: give it a finite distribution "
                "such as Categorical"
            )
        clusters = math.prod(n for _, n in combined) if combined else _size(samples[assignment])
    in_rows = [n for n, s in hidden.items() if plate in plates_of(s).values() or n in paths]
    read = {
        n: Site(n, site_axes(n, s, jnp.ndim(s["value"])), jnp.shape(s["value"]), s["fn"].support)
        for n, s in hidden.items()
        if n not in discrete
    }
    sites = tuple(site for n, site in read.items() if n not in in_rows)
    local_sites = tuple(site for n, site in read.items() if n in in_rows)
    event_dims = tuple((n, site_axes(n, s, jnp.ndim(s["value"]))[1:]) for n, s in emissions.items())
    derived = tuple(
        (n, derived_dims(n, s, clusters if assignment else 0))
        for n, s in trace.items()
        if s["type"] == "deterministic" and plate not in plates_of(s).values()
    )
    in_plate = {
        n: row_dims(n, s, plate, rows)
        for n, s in trace.items()
        if s["type"] == "deterministic" and plate in plates_of(s).values()
    }
    return Structure(
        sites,
        assignment,
        clusters,
        "cluster",
        plate,
        rows,
        tuple(emissions),
        event_dims,
        derived,
        tuple(site.name for site in local_sites),
        factors,
        tuple(in_plate.items()),
        local_sites,
        combined,
        layout.indexed,
        layout.lines,
        layout.shape,
        layout.axes,
        labelled=labelled,
        row_factors=row_factors,
        likelihoods=likelihoods,
    )


def _chain_structure(
    trace: Mapping[str, Any],
    hidden: Mapping[str, Mapping[str, Any]],
    emissions: Mapping[str, Mapping[str, Any]],
    factors: tuple[str, ...],
    chain: Chain,
) -> Structure:
    """The structure of a program whose rows are the steps of a chain."""
    emissions = {n: s for n, s in emissions.items() if n not in chain.own_sites}
    for name, site in emissions.items():
        if jnp.shape(site["value"])[:1] != (chain.steps,):
            raise UnsupportedError(
                f"site '{name}' has the shape {jnp.shape(site['value'])}, and the chain "
                f"'{chain.site}' has {chain.steps} steps: give one row of data for every step"
            )
        lacking = [n for n, _ in chain.plates if n not in plates_of(site).values()]
        if lacking:
            raise UnsupportedError(
                f"site '{name}' is observed outside plate '{lacking[0]}' of the series of chain "
                f"'{chain.site}', so that it is of all series at once: observe it within the plate"
            )
    for name in factors:
        if plates_of(trace[name]):
            raise UnsupportedError(
                f"factor '{name}' is within a plate, beside the chain '{chain.site}': write it as "
                "the log_prob of a distribution that the data site has, or sum it up outside"
            )
    others = {n: s for n, s in hidden.items() if n not in chain.own_sites}
    for name, site in others.items():
        if is_scanned(site):
            raise UnsupportedError(
                f"site '{name}' is continuous and one for every step of the chain '{chain.site}': "
                "only the states are summed out; leave the site out, or draw it before the chain "
                "under a name of its own, (step,)"
            )
    sites = tuple(
        Site(n, site_axes(n, s, jnp.ndim(s["value"])), jnp.shape(s["value"]), s["fn"].support)
        for n, s in others.items()
    )
    derived, by_step = [], []
    for name, site in trace.items():
        if site["type"] == "deterministic" and jnp.shape(site["value"])[:1] == (chain.steps,):
            by_step.append((name, chain_dims(name, site, chain)))
        elif site["type"] == "deterministic":
            derived.append((name, derived_dims(name, site, chain.states)))
    several = len(chain.sites) > 1
    return Structure(
        sites,
        chain.site,
        chain.states,
        "cluster",
        chain.plate,
        chain.series * chain.steps,
        tuple(emissions),
        tuple((n, chain_dims(n, s, chain)[1:]) for n, s in emissions.items()),
        tuple(derived),
        (),
        factors,
        tuple(by_step),
        combined=tuple((s.name, s.states) for s in chain.sites) if several else (),
        chain=chain,
    )


def _size(site: Mapping[str, Any]) -> int:
    # (by its shape: to list the values would be two programs to compile)
    support = jax.eval_shape(lambda: site["fn"].enumerate_support(expand=False))
    return support.shape[0]


def _combined(
    samples: Mapping[str, Mapping[str, Any]], discrete: Sequence[str]
) -> tuple[tuple[str, int], ...]:
    """Several discrete sites of the same rows, which are summed out by their combinations."""
    plates = {tuple(plates_of(samples[n]).items()) for n in discrete}
    named = ", ".join(map(repr, discrete[:MOST_NAMED])) + (
        ", ..." if len(discrete) > MOST_NAMED else ""
    )
    if len(plates) > 1 or not all(samples[n]["fn"].has_enumerate_support for n in discrete):
        raise UnsupportedError(
            f"sites {named} are discrete and hidden, and cannot be summed out together: put all "
            "of them in the plate of the rows, each with finitely many values"
        )
    combined = tuple((n, _size(samples[n])) for n in discrete)
    count = math.prod(n for _, n in combined)
    cells = sum(jnp.size(s["value"]) for s in samples.values() if s["is_observed"])
    most = max(MOST_COMBINATIONS, memory.COMBINED_NUMBERS // max(cells, 1))
    if count > most:
        raise UnsupportedError(
            f"sites {named} have {count:,} combinations of values, and at most {most:,} are "
            f"summed out of {cells:,} cells: hold some of them by fixed="
        )
    return combined
