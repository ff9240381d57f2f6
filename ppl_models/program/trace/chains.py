"""Chains of discrete sites: each step's state depends on the few before it.

A program writes them by NumPyro's ``scan`` or by a loop, one site a step, for one series or for
several in plates, with one discrete site a step or with several. Nothing is declared: the program
is run along given paths of states, and its log-densities are read off. Along the paths
a, b, a, b, ... every step meets each of its K² pairs of states in K² runs, which therefore give
every factor

    ψ_t(i, j) = log p(z_t = j | z_{t-1} = i) + log p(x_t | z_{t-1} = i, z_t = j)

of the chain, whatever covariates, emissions and missing cells are in it; along a, b, c, a, b, c
those of a chain whose states depend on the two before. ``chains/chain_passes.py``
sums the states out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from numpyro.distributions.batch_util import promote_batch_shape
from numpyro.distributions.distribution import ExpandedDistribution, MaskedDistribution

from ppl_models.distributions.convert import unwrap
from ppl_models.errors import UnsupportedError
from ppl_models.program.trace.layout import SERIES, STEP, is_scanned

COUNTING = ("Categorical", "Bernoulli")  #: distributions whose values count from 0
MOST_STATES = 200  #: combinations of the values of a step's discrete sites
MOST_RUNS = 2_000  #: of the program, along paths of states
FEWEST_STEPS = 3  #: of a loop within plates; two sites are summed out by their combinations
_NUMBERED = re.compile(r"^(.*?)[_\[]?(\d+)\]?$")


@dataclass(frozen=True)
class StateSite:
    """A discrete site of a chain: its name, how many values it has, their type and its plates.

    Args:
        name: of the site.
        states: how many values.
        dtype: of its values, which a program's scan may carry on.
        shape: of its value at one step, the plates of the series.
    """

    name: str
    states: int
    dtype: str = "int32"
    shape: tuple[int, ...] = ()

    def value(self, of_series: Array) -> Array:
        """The site's value from that of every series ``(..., series)``, or of all ``(...)``."""
        leading = of_series.shape[:-1] if self.shape else of_series.shape
        wide = of_series.reshape(*leading, *self.shape) if self.shape else of_series
        return wide.astype(self.dtype)


@dataclass(frozen=True)
class Chain:
    """A chain of discrete sites.

    Args:
        sites: its discrete sites of a step; its states are the combinations of their values, the
            last site's the fastest.
        steps: how many.
        plates: name and size of the plates of its series, none of a single one.
        members: the site of every step where a loop writes them, else none.
        emitted: the other sites of such a loop.
        starts: the sites of the state before the first step, where a program draws it.
        order: how many states before a step's own it depends on.
    """

    sites: tuple[StateSite, ...]
    steps: int
    plates: tuple[tuple[str, int], ...] = ()
    members: tuple[str, ...] = ()
    emitted: tuple[str, ...] = ()
    starts: tuple[StateSite, ...] = ()
    order: int = 1

    @property
    def site(self) -> str:
        """The name of its states, of several sites the first."""
        return self.sites[0].name

    @property
    def states(self) -> int:
        """How many states there are: combinations of values."""
        return math.prod(site.states for site in self.sites)

    @property
    def series(self) -> int:
        """How many series there are."""
        return math.prod(size for _, size in self.plates)

    @property
    def unit(self) -> str:
        """The name of the axis of the series."""
        return "_".join(name for name, _ in self.plates) or SERIES

    @property
    def plate(self) -> str:
        """The name of the axis of all steps of all series, one series after the other."""
        return f"{self.unit}_{STEP}" if self.plates else STEP

    @property
    def own_sites(self) -> tuple[str, ...]:
        """Names of the program's sites that are its own and no global ones."""
        named = (site.name for site in (*self.sites, *self.starts))
        return (*named, *self.members, *self.emitted)

    @property
    def runs(self) -> int:
        """Paths along which the program is run."""
        return int(self.states ** (self.order + 1))

    def paths_of(self, paths: Array) -> Array:
        """Paths as :meth:`held` takes them: of all series alike, or ``(series, step)``.

        Args:
            paths: one state; a path ``(step,)``; or those of all series one after the other.
        """
        if paths.ndim == 0:
            return jnp.full(self.steps, paths)
        one_for_all = len(paths) in (self.steps, self.steps + len(self.starts[:1]))
        return paths if paths.ndim > 1 or one_for_all else paths.reshape(self.series, -1)

    def held(self, paths: Array) -> dict[str, Array]:
        """The values of its sites along paths of states, ``(step,)`` or ``(series, step)``.

        The state before the first step is that of an entry more at the front of a path, or else
        the first step's, where nothing depends on it.
        """
        by_step = jnp.broadcast_to(paths, (self.series, paths.shape[-1])).T  # (step, series)
        if not self.plates:
            by_step = by_step[:, 0]
        steps = by_step[len(by_step) - self.steps :]
        initial = _values(self.starts, by_step[0])
        values = _values(self.sites, steps)
        if not self.members:
            return {**initial, **values}
        (own,) = values.values()
        return {**initial, **{name: own[step] for step, name in enumerate(self.members)}}


def _values(sites: Sequence[StateSite], states: Array) -> dict[str, Array]:
    """The value of every site in given states."""
    values, left = {}, states
    for site in reversed(sites):
        values[site.name], left = site.value(left % site.states), left // site.states
    return values


def merge_steps(
    trace: Mapping[str, Any],
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """A trace with the sites of a loop, one a step, as one site, and whose they were.

    Returns:
        The trace, the states' names by step, and the names of the other sites of the loop.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro import handlers
    >>> def program(x):
    ...     z = 0
    ...     for t in range(3):
    ...         z = numpyro.sample(f"z_{t}", dist.Bernoulli(0.2 + 0.5 * z))
    ...         numpyro.sample(f"x_{t}", dist.Normal(z, 1.0), obs=x[t])
    >>> trace = handlers.trace(handlers.seed(program, 0)).get_trace(jnp.zeros(3))
    >>> merged, members, emitted = merge_steps(trace)
    >>> list(merged), members, emitted, merged["x"]["fn"].batch_shape
    (['z', 'x'], ('z_0', 'z_1', 'z_2'), ('x_0', 'x_1', 'x_2'), (3,))
    """
    series: dict[str, list[str]] = {}
    for name, site in trace.items():
        numbered = _NUMBERED.match(name)
        if numbered and site["type"] == "sample":
            series.setdefault(numbered[1], []).append(name)
    states = [
        names
        for names in series.values()
        if all(_hidden_and_discrete(trace[n]) for n in names) and len(names) > 1
    ]
    if len(states) != 1 or any(is_scanned(site) for site in trace.values()):
        return dict(trace), (), ()
    if trace[states[0][0]]["cond_indep_stack"] and len(states[0]) < FEWEST_STEPS:
        return dict(trace), (), ()
    members, merged, emitted = states[0], dict(trace), []
    for prefix, names in series.items():
        others = names is not members
        observed = all(trace[n]["is_observed"] for n in names)
        if len(names) != len(members) or not _alike(trace, names) or (others and not observed):
            continue
        emitted += names if others else []
        fns = [trace[n]["fn"] for n in names]
        site = dict(trace[names[0]], name=prefix)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *fns)
        site["fn"] = promote_batch_shape(stacked)
        site["value"] = jnp.stack([jnp.asarray(trace[n]["value"]) for n in names])
        site["scale"] = _scales([trace[n].get("scale") for n in names], site["fn"].batch_shape)
        place = list(merged)
        merged = {
            (prefix if n == names[0] else n): (site if n == names[0] else merged[n])
            for n in place
            if n == names[0] or n not in names
        }
    lengths = {jnp.shape(s["value"])[:1] for s in merged.values() if s.get("is_observed")}
    if not _alike(trace, members) or (len(members),) not in lengths:
        return dict(trace), (), ()  # (several discrete sites, and no data step by step)
    return merged, tuple(members), tuple(emitted)


def _scales(scales: Sequence[Any], batch: tuple[int, ...]) -> Array | None:
    """The factors of a loop's log-densities as those of one site."""
    if all(scale is None for scale in scales):
        return None
    stacked = jnp.stack([jnp.asarray(1.0 if scale is None else scale) for scale in scales])
    return stacked.reshape(-1, *[1] * (len(batch) - stacked.ndim), *stacked.shape[1:])


def _hidden_and_discrete(site: Mapping[str, Any]) -> bool:
    return not site["is_observed"] and site["fn"].has_enumerate_support


def _alike(trace: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether the distributions of sites differ in numbers only."""
    fns = [trace[n]["fn"] for n in names]
    kinds = {(jax.tree.structure(fn), *map(jnp.shape, jax.tree.leaves(fn))) for fn in fns}
    return len(kinds) == 1


def find_chain(
    trace: Mapping[str, Any], members: tuple[str, ...], emitted: tuple[str, ...], fixed: set[str]
) -> Chain | None:
    """The chain of discrete sites of a program; None where it has none.

    Args:
        trace: of a run, see :func:`merge_steps`.
        members: the states of a loop, as :func:`merge_steps` found them.
        emitted: its other sites.
        fixed: names of the sites that are held.

    Raises:
        UnsupportedError: what a chain has that is not summed out here.
    """
    hidden = {
        n: s
        for n, s in trace.items()
        if s["type"] == "sample" and not s["is_observed"] and n not in fixed
    }
    if members:
        prefix = _NUMBERED.match(members[0])
        assert prefix is not None
        names = [prefix[1]]
    else:
        names = [n for n, s in hidden.items() if is_scanned(s) and s["fn"].has_enumerate_support]
    if not names:
        return None  # (paths of real numbers are sites like others)
    plates = _plates(hidden[names[0]])
    for name in names:
        _refuse_states(name, hidden[name], plates)
    sites = tuple(_state_site(n, hidden[n], leading=1) for n in names)
    steps = int(jnp.shape(hidden[names[0]]["value"])[0])
    states = math.prod(site.states for site in sites)
    if states > MOST_STATES or states**2 > MOST_RUNS:
        raise UnsupportedError(
            f"the discrete sites of a step, {', '.join(map(repr, names))}, have {states:,} "
            f"combinations of values, and at most {int(min(MOST_STATES, MOST_RUNS**0.5))} are "
            "summed out: hold some of them by fixed="
        )
    others = [n for n, s in hidden.items() if s["fn"].support.is_discrete and n not in names]
    starts = _starts(hidden, others, sites, plates)
    if others and not starts:
        named = " and ".join(f"'{n}'" for n in (*names, *others))
        raise UnsupportedError(
            f"sites {named} are discrete and hidden, and one of them is a chain: write the chain "
            "over the combinations of their values"
        )
    return Chain(sites, steps, plates, members, emitted, starts)


def _plates(site: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """Name and size of a site's plates, from left to right."""
    frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
    return tuple((frame.name, int(frame.size)) for frame in frames)


def _refuse_states(name: str, site: Mapping[str, Any], plates: tuple[tuple[str, int], ...]) -> None:
    """Refuse states that do not count from 0, or that no plate says the series of."""
    if _plates(site) != plates:
        raise UnsupportedError(
            f"the discrete sites of a step are in different plates, and '{name}' in "
            f"{', '.join(n for n, _ in _plates(site)) or 'none'}: put all of them in those of the "
            "series"
        )
    size = math.prod(jnp.shape(site["value"])[1:])
    if size != math.prod(n for _, n in plates):
        raise UnsupportedError(
            f"site '{name}' is a chain of several states a step: put it in a plate over the "
            "series, with numpyro.plate(...) within the scan"
        )
    kind = _kind(site)
    if not kind.startswith(COUNTING):
        raise UnsupportedError(
            f"the states of chain '{name}' are {kind}: let them be Categorical, which counts "
            "from 0, and look values up in an array"
        )


def _kind(site: Mapping[str, Any]) -> str:
    """The name of a site's distribution, without masks and plates' expansion."""
    own = site["fn"]
    while isinstance(own, MaskedDistribution | ExpandedDistribution):
        own = own.base_dist
    return type(unwrap(own)).__name__


def _state_site(name: str, site: Mapping[str, Any], *, leading: int) -> StateSite:
    states = int(site["fn"].enumerate_support(expand=False).shape[0])
    value = site["value"]
    return StateSite(name, states, str(value.dtype), tuple(jnp.shape(value)[leading:]))


def _starts(
    hidden: Mapping[str, Any],
    others: Sequence[str],
    sites: tuple[StateSite, ...],
    plates: tuple[tuple[str, int], ...],
) -> tuple[StateSite, ...]:
    """The sites of the state before the first step of a scan, as many as a step has."""
    if len(others) != len(sites):
        return ()
    for name in others:
        site = hidden[name]
        counts = _kind(site).startswith(COUNTING)
        if not counts or not site["fn"].has_enumerate_support or _plates(site) != plates:
            return ()
    starts = tuple(_state_site(n, hidden[n], leading=0) for n in others)
    if math.prod(s.states for s in starts) != math.prod(s.states for s in sites):
        return ()
    if any(math.prod(s.shape) != math.prod(n for _, n in plates) for s in starts):
        return ()
    return starts


# ---- factors -------------------------------------------------------------------------------------
