"""NumPyro's own log joint density of a program, its discrete sites summed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.contrib.funsor import log_density as enumerated_density
from numpyro.infer.util import log_density

MOST_AXES = 20  #: discrete sites from which on NumPyro's enumeration has too few axes


def enumerated(case: Mapping[str, Any], data: Mapping[str, Any]) -> Callable[..., Any]:
    """NumPyro's own log joint density, discrete sites summed out, as a function of the others.

    By NumPyro's enumeration; of a program with one discrete site, outside plates, by NumPyro's
    density at each of its values (enumeration takes the axis of what depends on it for the site's),
    and of one whose rows the cells look up, or some of whose rows are known, by NumPyro's densities
    of rows and cells at each value (enumeration counts a row that ``obs_mask`` tells K times). Of a
    chain that a loop writes, a site a step, by NumPyro's densities of every step at each pair of
    neighbouring states (enumeration gives every step an axis, of which there are 32 at most).

    Of a network, where each cell depends on two rows' discrete sites, no sum is exact: it is the
    density of these sites too, as Gibbs sampling draws them, ``assignment``.
    """
    arguments, arrays = case.get("args", {}), {n: jnp.asarray(v) for n, v in data.items()}
    inputs = {**arrays, **arguments}
    seeded = handlers.seed(case["program"], jax.random.key(0))
    trace = handlers.trace(seeded).get_trace(**inputs)
    hidden = [s for s in trace.values() if s["type"] == "sample" and not s["is_observed"]]
    discrete = [s for s in hidden if s["fn"].support.is_discrete]
    if len(discrete) == 1 and jnp.ndim(discrete[0]["value"]) == 0:
        (site,) = discrete
        support = site["fn"].enumerate_support()

        def summed(values: Mapping[str, Any]) -> Any:
            def one(value: Any) -> Any:
                held = {**values, site["name"]: value}
                return log_density(case["program"], (), inputs, held)[0]

            return logsumexp(jax.vmap(one)(support))

        return summed
    if len(discrete) == 1 and jnp.ndim(discrete[0]["value"]) == 1:
        if isinstance(discrete[0]["fn"], dist.MaskedDistribution):
            owners = own_places(trace, len(discrete[0]["value"]))
        else:
            owners = looked_up(case["program"], inputs, trace, discrete[0])
        if owners is not None:
            return by_rows(case["program"], inputs, discrete[0], owners)
        if coupled(case["program"], inputs, trace, discrete[0]):
            name = discrete[0]["name"]

            def joint(values: Mapping[str, Any]) -> Any:
                held = {**values, name: values["assignment"]}
                return log_density(case["program"], (), inputs, held)[0]

            return joint
    if len(discrete) > MOST_AXES and all(jnp.ndim(s["value"]) == 0 for s in discrete):
        return by_steps(case["program"], inputs, trace, discrete)
    plates = [f.dim for s in trace.values() for f in s.get("cond_indep_stack", ()) if f.dim]
    program = enum(config_enumerate(case["program"]), min([0, *plates]) - 1)
    return lambda values: enumerated_density(program, (), inputs, values)[0]


def log_densities(
    program: Callable[..., Any], inputs: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Every site's log-densities, entry by entry, at values of the hidden sites."""
    held = handlers.seed(handlers.substitute(program, data=dict(values)), jax.random.key(0))
    trace = handlers.trace(held).get_trace(**inputs)
    return {n: s["fn"].log_prob(s["value"]) for n, s in trace.items() if s["type"] == "sample"}


def own_places(trace: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The observed sites with an entry a row: each is of the row at its own place."""
    observed = {n: s for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
    return {n: np.arange(rows) for n, s in observed.items() if s["fn"].batch_shape == (rows,)}


def looked_up(
    program: Callable[..., Any],
    inputs: Mapping[str, Any],
    trace: Mapping[str, Any],
    site: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Which row's discrete site the cells of other plates depend on, found by changing each row's.

    Returns:
        The row of every cell, by site; None where each cell is of the row at its own place.
    """
    rows = len(site["value"])
    changed = changed_by(program, inputs, trace, site)
    if any(c.ndim != 2 or (c.sum(0) > 1).any() for c in changed.values()):
        return None
    owners = {n: c.argmax(0) for n, c in changed.items()}
    return None if all(np.array_equal(o, np.arange(rows)) for o in owners.values()) else owners


def coupled(
    program: Callable[..., Any],
    inputs: Mapping[str, Any],
    trace: Mapping[str, Any],
    site: Mapping[str, Any],
) -> bool:
    """Whether cells depend on the discrete site of two rows, as edges do of both their nodes."""
    changed = changed_by(program, inputs, trace, site)
    return any((c.sum(0) > 1).any() for c in changed.values())


def changed_by(
    program: Callable[..., Any],
    inputs: Mapping[str, Any],
    trace: Mapping[str, Any],
    site: Mapping[str, Any],
) -> dict[str, Any]:
    """Which cells of the observed sites change with each row's discrete site, ``(row, ...)``."""
    name, rows = site["name"], len(site["value"])
    low, high = np.unique(site["fn"].enumerate_support())[:2]
    hidden = {n: s["value"] for n, s in trace.items() if s["type"] == "sample" and n != name}
    cells = [n for n, s in trace.items() if s.get("is_observed") and s["type"] == "sample"]

    def at(z: Any) -> dict[str, Any]:
        return log_densities(program, inputs, {**hidden, name: z})

    everywhere = jnp.full(rows, low)
    before = at(everywhere)
    after = jax.vmap(lambda row: at(everywhere.at[row].set(high)))(jnp.arange(rows))
    # (sums of many rows at once are rounded otherwise; missing cells have no density)
    return {n: ~np.isclose(after[n], before[n], rtol=1e-9, atol=0, equal_nan=True) for n in cells}


def by_rows(
    program: Callable[..., Any],
    inputs: Mapping[str, Any],
    site: Mapping[str, Any],
    owners: Mapping[str, Any],
) -> Callable[..., Any]:
    """NumPyro's log joint density with every row's discrete site summed out by itself.

    Args:
        program: of one discrete site.
        inputs: its data and arguments.
        site: the discrete one.
        owners: the row that each cell of the observed sites is of.
    """
    name, rows, mask = site["name"], len(site["value"]), getattr(site["fn"], "_mask", True)
    known = (~np.broadcast_to(mask, (rows,))).sum()  # rows that have the same density at each value
    support = np.unique(site["fn"].enumerate_support())

    def density(values: Mapping[str, Any]) -> Any:
        # (what a row's known and unknown labels make together is computed from them)
        values = {n: v for n, v in values.items() if n != name.removesuffix("_unobserved")}

        def at(kind: Any) -> tuple[Any, Any]:
            each = log_densities(program, inputs, {**values, name: jnp.full(rows, kind)})
            of_rows = each[name]
            for n, owner in owners.items():
                of_rows = of_rows + jax.ops.segment_sum(each[n], owner, rows)
            others = [d.sum() for n, d in each.items() if n != name and n not in owners]
            return of_rows, sum(others)

        of_rows, others = jax.vmap(at)(jnp.asarray(support))
        return logsumexp(of_rows, axis=0).sum() - known * np.log(len(support)) + others[0]

    return density


def by_steps(
    program: Callable[..., Any],
    inputs: Mapping[str, Any],
    trace: Mapping[str, Any],
    chain: Sequence[Mapping[str, Any]],
) -> Callable[..., Any]:
    """NumPyro's log joint density of a chain of discrete sites, one a step, summed forwards.

    Args:
        program: whose discrete sites are a chain.
        inputs: its data and arguments.
        trace: of the program.
        chain: the discrete sites in their order.

    Raises:
        ValueError: a site depends on another step than its own or, of the chain, the one before.
    """
    names, support = [s["name"] for s in chain], chain[0]["fn"].enumerate_support()
    steps, states = len(chain), len(support)
    owner = _steps_of(program, inputs, trace, names, support)
    rest = [n for n, s in trace.items() if s["type"] == "sample" and n not in owner]

    def at(path: Any, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Log-densities of all that a step owns, ``(step,)``, and of what none owns."""
        states_of = {n: path[t] for t, n in enumerate(names)}
        each = log_densities(program, inputs, {**values, **states_of})
        own = [sum(each[n].sum() for n, s in owner.items() if s == t) for t in range(steps)]
        return jnp.stack(own), sum((each[n].sum() for n in rest), jnp.zeros(()))

    # a path that alternates between two states shows half of the steps one pair, half the other
    first, second = (
        support[g.ravel()] for g in jnp.meshgrid(jnp.arange(states), jnp.arange(states))
    )
    even = (jnp.arange(steps) % 2 == 0)[:, None]
    paths = jnp.where(even, first, second).T

    def density(values: Mapping[str, Any]) -> Any:
        own, others = jax.vmap(lambda path: at(path, values))(paths)
        own = own.reshape(states, states, steps)  # [state at odd steps, state at even steps]
        # [step, state before, state now]
        pairs = jnp.where(even[:, :, None], own.transpose(2, 0, 1), own.transpose(2, 1, 0))
        # (the first step has no step before it, whatever stands there)
        last, _ = lax.scan(
            lambda a, pair: (logsumexp(a[:, None] + pair, axis=0), None), pairs[0, 0], pairs[1:]
        )
        return logsumexp(last) + others[0]

    return density


def _steps_of(
    program: Callable[..., Any],
    inputs: Mapping[str, Any],
    trace: Mapping[str, Any],
    names: Sequence[str],
    support: Any,
) -> dict[str, int]:
    """The step whose state a site is drawn at: its own of the chain's, of others by changing each.

    Raises:
        ValueError: a site that depends on another step too.
    """
    hidden = {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}
    observed = [n for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]]
    before = {**{n: v for n, v in hidden.items() if n not in observed}}
    before |= dict.fromkeys(names, support[0])
    here = log_densities(program, inputs, before)
    owner = {name: step for step, name in enumerate(names)}
    for step, name in enumerate(names):
        there = log_densities(program, inputs, {**before, name: support[-1]})
        changed = [n for n in here if not np.array_equal(here[n], there[n])]
        for n in changed:
            if n in names and owner[n] in (step, step + 1):
                continue
            if n in names or owner.setdefault(n, step) != step:
                raise ValueError(f"site '{n}' depends on step {step} of the chain too")
    return owner
