"""What is read off a program's trace: which sites are global, assigned and emitted, their axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jax import Array
from numpyro.distributions.distribution import (
    ExpandedDistribution,
    MaskedDistribution,
    Unit,
)

from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.chains import SERIES, STEP, Chain
from ppl_models.program.layout import Layout, plates_of, read_layout
from ppl_models.program.sites import Site, UnconstrainedSpace, draw_near_zero

MOST_NAMED = 4  #: sites that a message names
MOST_COMBINATIONS = 1_000  #: of the values of several discrete sites


@dataclass(frozen=True)
class Structure:
    """What was read off the program's trace."""

    sites: tuple[Site, ...]
    assignment: str | None
    clusters: int
    cluster_dim: str
    plate: str
    rows: int
    emissions: tuple[str, ...]
    event_dims: tuple[tuple[str, tuple[str, ...]], ...]
    deterministics: tuple[tuple[str, tuple[str, ...]], ...]
    locals: tuple[str, ...]
    factors: tuple[str, ...] = ()
    row_deterministics: tuple[tuple[str, tuple[str, ...]], ...] = ()
    local_sites: tuple[Site, ...] = ()
    combined: tuple[tuple[str, int], ...] = ()
    indexed: tuple[str, ...] = ()
    lines: tuple[tuple[str, str, int], ...] = ()
    assignment_shape: tuple[int, ...] = ()
    unit_axes: tuple[tuple[str, int], ...] = ()
    lowest: tuple[tuple[str, int], ...] = ()
    chain: Chain | None = None
    labelled: str | None = None
    row_factors: tuple[str, ...] = ()
    likelihoods: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    given_locals: tuple[str, ...] = ()  #: continuous sites of the rows that have values
    gaussian_locals: bool = False  #: whether they are integrated out exactly

    @property
    def unit_count(self) -> int:
        """Number of exchangeable units: the rows, or one series whose rows are its steps."""
        return self.rows if self.chain is None else 1

    @property
    def unit(self) -> str:
        """The name of the axis of the exchangeable units."""
        return self.plate if self.chain is None else SERIES

    def values_of(self, cluster: Any) -> dict[str, Any]:
        """The value of every discrete site of the rows in a cluster.

        Of several sites a cluster is a combination of their values, the last site's the fastest.

        Args:
            cluster: whole numbers of any shape.
        """
        if not self.combined:
            values = {} if self.assignment is None else {self.assignment: cluster}
        else:
            values, left = {}, cluster
            for name, size in reversed(self.combined):
                values[name], left = left % size, left // size
        lowest = dict(self.lowest)
        return {n: v + lowest[n] if n in lowest else v for n, v in values.items()}

    def axis_of(self, parameter: str, length: int) -> str:
        """Name of the first axis of a data parameter: the rows', or that of lines of data.

        Args:
            parameter: its name.
            length: of its data.
        """
        own = {name: axis for name, axis, _ in self.lines}
        if parameter in own or length == self.rows or not self.lines:
            return own.get(parameter, self.plate)
        return next((axis for _, axis, size in self.lines if size == length), self.plate)

    def with_locals(self) -> Structure:
        """The same program, its rows' own continuous sites among the global ones."""
        sites = (*self.sites, *self.local_sites)
        return replace(self, sites=sites, locals=(), local_sites=(), given_locals=self.locals)

    @property
    def by_logits(self) -> bool:
        """Whether rows have a density that the distributions of their sites do not tell."""
        return bool(self.indexed or self.labelled or self.row_factors)

    @property
    def undrawable(self) -> tuple[str, ...]:
        """Factors of the rows, which say nothing of how the rows are generated."""
        return (*self.likelihoods, *self.row_factors)

    @property
    def seen(self) -> tuple[str, ...]:
        """The site that observes the known values of a discrete site; see :func:`labels_of`."""
        return () if self.labelled is None else (f"{self.labelled}_observed",)

    @property
    def row_sites(self) -> tuple[str, ...]:
        """Names of the discrete sites of the rows and of the emissions."""
        return (*self.discrete, *self.emissions)

    @property
    def discrete(self) -> tuple[str, ...]:
        """Names of the discrete sites of the rows."""
        if self.combined:
            return tuple(name for name, _ in self.combined)
        return () if self.assignment is None else (self.assignment,)

    @property
    def deterministic_names(self) -> tuple[str, ...]:
        """Names of the deterministic sites, within the data plate and outside."""
        return tuple(name for name, _ in (*self.deterministics, *self.row_deterministics))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the global sites."""
        return tuple(site.name for site in self.sites)

    @property
    def space(self) -> UnconstrainedSpace:
        """The unconstrained space of the global sites."""
        return UnconstrainedSpace(self.sites)

    def initial(self, key: Array, radius: float = 1.0) -> dict[str, Array]:
        """Values of the global sites, uniform within ``radius`` in the unconstrained space."""
        return draw_near_zero(self.sites, key, radius)


def _dims(name: str, site: Mapping[str, Any], value_ndim: int) -> tuple[str, ...]:
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
    return (*batch, *event)


def _derived_dims(name: str, site: Mapping[str, Any], clusters: int) -> tuple[str, ...]:
    """Names of a deterministic site's axes; one as long as there are clusters is theirs."""
    shape = jnp.shape(site["value"])
    dims = list(_dims(name, site, len(shape)))
    unnamed = [i for i, d in enumerate(dims) if d.startswith(f"{name}_axis")]
    mine = [i for i in unnamed if shape[i] == clusters]
    if "cluster" not in dims and mine:
        dims[mine[0]] = "cluster"
    return tuple(dims)


def _row_dims(name: str, site: Mapping[str, Any], plate: str, rows: int) -> tuple[str, ...]:
    """Names of the axes of a deterministic site within the data plate, the rows' first."""
    shape = jnp.shape(site["value"])
    first = () if shape[:1] != (rows,) else (plate,)
    return (*first, *(f"{name}_dim_{i}" for i in range(len(first), len(shape))))


def _is_factor(distribution: Any) -> bool:
    while isinstance(distribution, ExpandedDistribution | MaskedDistribution):
        distribution = distribution.base_dist
    return isinstance(distribution, Unit)


def _factors(
    samples: Mapping[str, Mapping[str, Any]], fixed: set[str]
) -> tuple[tuple[str, ...], dict[str, Mapping[str, Any]]]:
    """Names of the program's ``numpyro.factor``, and the sites that are observed data."""
    observed = {n: s for n, s in samples.items() if s["is_observed"] and n not in fixed}
    factors = tuple(n for n, s in observed.items() if _is_factor(s["fn"]))
    return factors, {n: s for n, s in observed.items() if n not in factors}


def labels_of(trace: Mapping[str, Any], discrete: Sequence[str]) -> str | None:
    """A discrete site that is known for some rows: ``numpyro.sample(obs=, obs_mask=)``.

    NumPyro makes three of it: ``z_observed``, ``z_unobserved`` and ``z``, which is either.
    """
    for name in discrete:
        base = name.removesuffix("_unobserved")
        if base != name and f"{base}_observed" in trace and trace[base]["type"] == "deterministic":
            return base
    return None


def _likelihoods(factors: tuple[str, ...], parameters: Set[str]) -> tuple[str, ...]:
    """The factors that are the log-density of data, of a program without an observed site."""
    named = tuple(n for n in factors if n in parameters)
    if factors and not named:
        raise UnsupportedError(
            f"factor '{factors[0]}' is all that the program says of its data: call it by the name "
            "of the data parameter whose log-density it is"
        )
    return named


def _row_factors(
    factors: tuple[str, ...], samples: Mapping[str, Mapping[str, Any]], layout: Layout
) -> tuple[str, ...]:
    """The factors that have an entry a row; those of other plates are of the global sites."""
    lines, found = {axis for _, axis, _ in layout.lines}, []
    for name in factors:
        plates = plates_of(samples[name])
        if plates == {-1: layout.plate}:
            found.append(name)
        elif layout.plate in plates.values() or lines & set(plates.values()):
            raise UnsupportedError(
                f"factor '{name}' is within plates {', '.join(map(repr, plates.values()))}, which "
                f"are not the rows' alone: sum it up by '{layout.plate}', and put it there"
            )
    return tuple(found)


def read_structure(
    trace: Mapping[str, Any],
    fixed: set[str],
    of_data: Set[str] = frozenset(),
    chain: Chain | None = None,
    parameters: Set[str] = frozenset(),
) -> Structure:
    """Sort the sites of a trace.

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
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            raise UnsupportedError(
                f"plate '{name}' takes a subsample: give it all its rows, they are passed over "
                "in pieces here"
            )
    hidden = {n: s for n, s in samples.items() if not s["is_observed"] and n not in fixed}
    # whole numbers outside all plates that cannot be listed are global: nothing sums them out
    whole = {n: s for n, s in hidden.items() if s["fn"].support.is_discrete}
    discrete = [n for n, s in whole.items() if plates_of(s) or s["fn"].has_enumerate_support]
    combined = _combined(samples, discrete) if len(discrete) > 1 else ()
    assignment = discrete[0] if discrete else None
    labelled = labels_of(trace, discrete)
    known = set() if labelled is None else {f"{labelled}_observed"}
    factors, emissions = _factors(samples, fixed | known)
    if chain is not None:
        return _chain_structure(trace, hidden, emissions, factors, chain)
    likelihoods: tuple[str, ...] = ()
    if not emissions:
        likelihoods = _likelihoods(factors, parameters)
        emissions = {n: samples[n] for n in likelihoods}
        of_data = {*of_data, *likelihoods}
    if not emissions:
        raise InputError(
            "the program emits nothing: it needs an observed site, "
            "numpyro.sample(name, ..., obs=data), within a plate over the rows"
        )
    given = [n for n, s in emissions.items() if not s["cond_indep_stack"] and n not in of_data]
    if given:
        raise UnsupportedError(
            f"site '{given[0]}' is observed outside any plate, and not from the program's data: "
            f"hold it by fixed={{'{given[0]}': ...}} where numpyro.handlers.condition did"
        )
    steps = [n for n, s in emissions.items() if "_scan_current_index" in s.get("infer", {})]
    if steps:
        raise UnsupportedError(
            f"site '{steps[0]}' is observed outside any plate, step by step in a scan: write the "
            "hidden chain with a family of ppl_models.distributions, such as HiddenMarkov"
        )
    layout = read_layout(samples[assignment] if assignment else None, emissions)
    plate, rows = layout.plate, layout.rows
    factors = tuple(n for n in factors if n not in likelihoods)
    row_factors = _row_factors(factors, samples, layout)
    factors = tuple(n for n in factors if n not in row_factors)
    clusters = 1
    if assignment is not None:
        if not samples[assignment]["fn"].has_enumerate_support:
            raise UnsupportedError(
                f"site '{assignment}' takes infinitely many values: give it a finite "
                "distribution such as Categorical"
            )
        clusters = math.prod(n for _, n in combined) if combined else _size(samples[assignment])
    in_rows = [n for n, s in hidden.items() if plate in plates_of(s).values()]
    read = {
        n: Site(n, _dims(n, s, jnp.ndim(s["value"])), jnp.shape(s["value"]), s["fn"].support)
        for n, s in hidden.items()
        if n not in discrete
    }
    sites = tuple(site for n, site in read.items() if n not in in_rows)
    local_sites = tuple(site for n, site in read.items() if n in in_rows)
    event_dims = tuple((n, _dims(n, s, jnp.ndim(s["value"]))[1:]) for n, s in emissions.items())
    derived = tuple(
        (n, _derived_dims(n, s, clusters if assignment else 0))
        for n, s in trace.items()
        if s["type"] == "deterministic" and plate not in plates_of(s).values()
    )
    in_plate = {
        n: _row_dims(n, s, plate, rows)
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
    for name, site in emissions.items():
        if jnp.shape(site["value"])[:1] != (chain.steps,):
            raise UnsupportedError(
                f"site '{name}' has the shape {jnp.shape(site['value'])}, and the chain "
                f"'{chain.site}' has {chain.steps} steps: give one row of data for every step"
            )
    for name in factors:
        if plates_of(trace[name]):
            raise UnsupportedError(
                f"factor '{name}' is within a plate, beside the chain '{chain.site}': write it as "
                "the log_prob of a distribution that the data site has, or sum it up outside"
            )
    others = {n: s for n, s in hidden.items() if n != chain.site}
    for name, site in others.items():
        if "_scan_current_index" in site["infer"]:
            raise UnsupportedError(
                f"site '{name}' is continuous and one for every step of the chain '{chain.site}': "
                "only the states are summed out; leave the site out, or draw it before the chain "
                "under a name of its own, (step,)"
            )
    sites = tuple(
        Site(n, _dims(n, s, jnp.ndim(s["value"])), jnp.shape(s["value"]), s["fn"].support)
        for n, s in others.items()
    )
    derived, by_step = [], []
    for name, site in trace.items():
        if site["type"] == "deterministic" and jnp.shape(site["value"])[:1] == (chain.steps,):
            by_step.append((name, _row_dims(name, site, STEP, chain.steps)))
        elif site["type"] == "deterministic":
            derived.append((name, _derived_dims(name, site, chain.states)))
    return Structure(
        sites,
        chain.site,
        chain.states,
        "cluster",
        STEP,
        chain.steps,
        tuple(emissions),
        tuple(
            (n, tuple(f"{n}_dim_{i}" for i in range(jnp.ndim(s["value"]) - 1)))
            for n, s in emissions.items()
        ),
        tuple(derived),
        (),
        factors,
        tuple(by_step),
        chain=chain,
    )


def _size(site: Mapping[str, Any]) -> int:
    return site["fn"].enumerate_support(expand=False).shape[0]


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
            f"sites {named} are all discrete and hidden, and not all in the plate of the rows "
            "with finitely many values each: only such sites are summed out together here"
        )
    combined = tuple((n, _size(samples[n])) for n in discrete)
    count = math.prod(n for _, n in combined)
    if count > MOST_COMBINATIONS:
        raise UnsupportedError(
            f"sites {named} have {count:,} combinations of values, and at most "
            f"{MOST_COMBINATIONS:,} are summed out: hold some of them by fixed="
        )
    return combined
