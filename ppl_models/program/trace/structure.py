"""The structure of a program: which sites are global, assigned and emitted, and their axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jax import Array

from ppl_models.program.trace.chains import Chain
from ppl_models.program.trace.sites import Site, UnconstrainedSpace, draw_near_zero

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
        """Whether the rows' density is not given by the distributions of their sites alone."""
        return bool(self.indexed or self.labelled or self.row_factors)

    @property
    def own_axes(self) -> bool:
        """Whether arrays need not have an entry a row, so that rows cannot be chosen from them."""
        return bool(self.indexed) or self.chain is not None

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
