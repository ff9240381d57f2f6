"""The structure of a program: which sites are global, assigned and emitted, and their axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jax import Array
from numpyro.distributions import Delta, Distribution

from ppl_models.program.chains import Chain
from ppl_models.program.sites import Site, UnconstrainedSpace, draw_near_zero

NETWORK = "network"  #: the axis of the exchangeable unit where cells are of two rows each


@dataclass(frozen=True)
class Structure:
    """The sites of a program by their role, and the rows that its data consist of.

    Static, so that a compiled function is shared by programs of one structure.

    Args:
        sites: the global sites.
        assignment: the discrete site of the rows that is summed out; None where there is none. Of
            several it is the first, and its values are their combinations.
        clusters: number of its values; 1 where nothing is assigned.
        cluster_dim: name of the axis of clusters.
        plate: name of the rows' axis.
        rows: how many there are.
        emissions: the observed sites.
        event_dims: of each, the names of its axes but the first.
        deterministics: deterministic sites outside the rows' plate, and the names of their axes.
        locals: continuous sites with a value per row, which are integrated out.
        factors: ``numpyro.factor`` sites outside the rows.
        row_deterministics: as ``deterministics``, of those within the rows' plate.
        local_sites: shapes and spaces of ``locals``.
        combined: several discrete sites of the rows, and how many values each has; else empty.
        indexed: observed sites whose cells belong to rows by an index array, see ``units``.
        lines: of these, site, name and length of the data's first axis, unless it is the rows'.
        assignment_shape: shape of a value of the discrete site.
        unit_axes: of ``indexed``, the axis of the cells that is the rows', -1 for one row.
        lowest: the lowest value of discrete sites that do not count from 0.
        chain: of discrete states along the steps, which are then the rows.
        labelled: a discrete site that is observed for some rows.
        row_factors: ``numpyro.factor`` sites with an entry per row.
        likelihoods: those of them that stand for the observed site of a program without any.
        computed: observed sites whose values the program computes from its data.
        sources: the data that these are computed from.
        given_locals: continuous sites of the rows that have values, see :meth:`with_locals`.
        coupled: whether cells depend on the clusters of two rows each (a network).
        swapped: sites that observe ``(series, step)`` data as ``(step, series)``.
        gaussian_locals: whether ``locals`` are integrated out exactly.
    """

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
    given_locals: tuple[str, ...] = ()
    coupled: bool = False
    swapped: tuple[str, ...] = ()
    gaussian_locals: bool = False

    @property
    def unit_count(self) -> int:
        """Number of exchangeable units: the rows, or series whose rows are their steps."""
        if self.coupled:
            return 1
        return self.rows if self.chain is None else self.chain.series

    @property
    def unit(self) -> str:
        """The name of the axis of the exchangeable units."""
        if self.coupled:
            return NETWORK
        return self.plate if self.chain is None else self.chain.unit

    @property
    def panel(self) -> bool:
        """Whether the rows are the steps of several series."""
        return self.chain is not None and bool(self.chain.plates)

    @property
    def unit_sites(self) -> tuple[str, ...]:
        """Global sites of which each of several series has its own."""
        plates = set() if self.chain is None else {name for name, _ in self.chain.plates}
        return tuple(site.name for site in self.sites if plates & set(site.dims))

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
        if parameter in own or length == self.rows or not self.lines or self.chain is not None:
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
        """The site that observes known values of a discrete site; see ``site_sorting``."""
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
        emissions = {n: samples[n] for n in likelihoods}
        of_data = {*of_data, *likelihoods}
    if not emissions:
        raise InputError(
            "the program emits nothing: it needs an observed site, "
            "numpyro.sample(name, ..., obs=data), within a plate over the rows"
        )
    unplated = [n for n, s in emissions.items() if not s["cond_indep_stack"] and n not in of_data]
    if unplated:
        raise UnsupportedError(
            f"site '{unplated[0]}' is observed outside any plate, and not from the program's data: "
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
                f"site '{assignment}' takes infinitely many values: give it a finite "
                "distribution such as Categorical"
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
            f"sites {named} are all discrete and hidden, and not all in the plate of the rows "
            "with finitely many values each: only such sites are summed out together here"
        )
    combined = tuple((n, _size(samples[n])) for n in discrete)
    count = math.prod(n for _, n in combined)
    cells = sum(jnp.size(s["value"]) for s in samples.values() if s["is_observed"])
    if count > MOST_COMBINATIONS and count * cells > MOST_DENSITIES:
        raise UnsupportedError(
            f"sites {named} have {count:,} combinations of values, and at most "
            f"{max(MOST_COMBINATIONS, MOST_DENSITIES // max(cells, 1)):,} are summed out of "
            f"{cells:,} cells: hold some of them by fixed="
        )
    return combined
