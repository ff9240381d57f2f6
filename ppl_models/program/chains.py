"""Chains of discrete sites: each step's state depends on the one before it.

A program writes them by NumPyro's ``scan`` or by a loop, one site a step. Nothing is declared: the
program is run along given paths of states, and its log-densities are read off. Along the paths
a, b, a, b, ... every step meets each of its K² pairs of states in K² runs, which therefore give
every factor

    ψ_t(i, j) = log p(z_t = j | z_{t-1} = i) + log p(x_t | z_{t-1} = i, z_t = j)

of the chain, whatever covariates, emissions and missing cells are in it. Forward and backward
passes over the factors sum the states out (Rabiner 1989, A tutorial on hidden Markov models).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from jax.scipy.special import logsumexp
from numpyro.distributions.batch_util import promote_batch_shape

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.hmm.general_emission import LOWEST
from ppl_models.errors import UnsupportedError

STEP = "step"  #: the plate of a chain
SERIES = "series"  #: the axis of its exchangeable unit, of one
COUNTING = ("Categorical", "Bernoulli")  #: distributions whose values count from 0
_NUMBERED = re.compile(r"^(.*?)[_\[]?(\d+)\]?$")


@dataclass(frozen=True)
class Chain:
    """A chain of discrete sites.

    Args:
        site: the name of its states.
        steps: how many.
        states: values of each.
        members: the site of every step where a loop writes them, else none.
        emitted: the other sites of such a loop.
        dtype: of its states, which a program's scan may carry on.
        start: the site of the state before the first step, where a program draws it.
    """

    site: str
    steps: int
    states: int
    members: tuple[str, ...] = ()
    emitted: tuple[str, ...] = ()
    dtype: str = "int32"
    start: str | None = None

    def held(self, path: Array) -> dict[str, Array]:
        """The values of its sites along a path of states, ``(step,)``.

        The state before the first step is that of an entry more at the front of the path, or else
        the first step's, where nothing depends on it.
        """
        path = path.astype(self.dtype)
        steps = path[len(path) - self.steps :]
        before = {} if self.start is None else {self.start: path[0]}
        if not self.members:
            return {self.site: steps, **before}
        return {name: steps[step] for step, name in enumerate(self.members)}

    @property
    def own_sites(self) -> tuple[str, ...]:
        """Names of the program's sites that are its own and no global ones."""
        start = () if self.start is None else (self.start,)
        return (self.site, *self.members, *self.emitted, *start)


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
        if numbered and site["type"] == "sample" and not site["cond_indep_stack"]:
            series.setdefault(numbered[1], []).append(name)
    states = [
        names
        for names in series.values()
        if all(_hidden_and_discrete(trace[n]) for n in names) and len(names) > 1
    ]
    if len(states) != 1 or any(_scanned(site) for site in trace.values()):
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


def _scanned(site: Mapping[str, Any]) -> bool:
    return "_scan_current_index" in site.get("infer", {})


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
        sites = [prefix[1]]
    else:
        sites = [n for n, s in hidden.items() if _scanned(s)]
    if not sites:
        return None
    whole = [n for n, s in hidden.items() if s["fn"].support.is_discrete]
    for name in sites:
        fn, plates = hidden[name]["fn"], hidden[name]["cond_indep_stack"]
        if not fn.has_enumerate_support:
            return None  # (paths of real numbers are sites like others)
        where = f"within plate '{plates[0].name}'" if plates else "of several states a step"
        if plates or jnp.ndim(hidden[name]["value"]) != 1:
            raise UnsupportedError(
                f"site '{name}' is a chain {where}: fit one series at a time, or write it with "
                "ppl_models.distributions.HiddenMarkov, which takes many sequences"
            )
        kind = type(unwrap(fn)).__name__
        if not kind.startswith(COUNTING):
            raise UnsupportedError(
                f"the states of chain '{name}' are {kind}: let them be Categorical, which counts "
                "from 0, and look values up in an array"
            )
    start = _start(hidden, whole, sites[0], emitted)
    if len(whole) > 1 and start is None:
        named = " and ".join(f"'{n}'" for n in whole)
        raise UnsupportedError(
            f"sites {named} are discrete and hidden, and one of them is a chain: write the chain "
            "over the combinations of their values"
        )
    (site,) = sites
    steps = int(jnp.shape(hidden[site]["value"])[0])
    states = int(hidden[site]["fn"].enumerate_support(expand=False).shape[0])
    dtype = str(hidden[site]["value"].dtype)
    return Chain(site, steps, states, members, emitted, dtype, start)


def _start(
    hidden: Mapping[str, Any], whole: Sequence[str], site: str, emitted: tuple[str, ...]
) -> str | None:
    """The site of the state before the first step of a scan, if there is one."""
    others = [n for n in whole if n != site]
    if len(others) != 1 or emitted:
        return None
    fn = hidden[others[0]]["fn"]
    if not fn.has_enumerate_support or hidden[others[0]]["cond_indep_stack"]:
        return None
    alike = (
        type(unwrap(fn)).__name__.startswith(COUNTING)
        and jnp.shape(fn.enumerate_support(expand=False))[:1]
        == hidden[site]["fn"].enumerate_support(expand=False).shape[:1]
    )
    return others[0] if alike and not jnp.shape(hidden[others[0]]["value"]) else None


# ---- factors -------------------------------------------------------------------------------------


def alternating(chain: Chain) -> Array:
    """Paths along which every step has every pair of states, ``(state, state, step)``.

    The state before the first step, where the program draws it, is one more at the front.
    """
    states = jnp.arange(chain.states, dtype=jnp.int32)
    even, odd = jnp.meshgrid(states, states, indexing="ij")
    is_even = jnp.arange(0 if chain.start is None else -1, chain.steps) % 2 == 0
    return jnp.where(is_even, even[..., None], odd[..., None])


def pair_factors(chain: Chain, along: Array) -> Array:
    """ψ by step, state before and state, from the log-densities along alternating paths.

    Args:
        chain: the chain.
        along: ``(state, state, step)``, of the paths of :func:`alternating`.
    """
    is_even = (jnp.arange(chain.steps) % 2 == 0)[:, None, None]
    by_step = jnp.moveaxis(along, -1, 0)  # (step, state at even steps, state at odd ones)
    factors = jnp.maximum(jnp.where(is_even, by_step.swapaxes(1, 2), by_step), LOWEST)
    if chain.start is None:  # nothing is before the first step: let it be in one state
        factors = factors.at[0, 1:].set(LOWEST)
    return factors


def path_density(factors: Array, path: Array) -> Array:
    """Log-density of every step along a path, ``(step,)``.

    The state before the first step is the path's first of one more, or else summed out.
    """
    steps = path[len(path) - len(factors) :]
    first = factors[0, :, steps[0]]
    first = logsumexp(first) if len(path) == len(factors) else first[path[0]]
    later = factors[jnp.arange(1, len(factors)), steps[:-1], steps[1:]]
    return jnp.concatenate([first[None], later])


# ---- passes --------------------------------------------------------------------------------------


def forward(factors: Array) -> tuple[Array, Array]:
    """Filtered log-probabilities ``(step, state)``, and log p(x_t | x_1, ..., x_{t-1})."""
    first = logsumexp(factors[0], axis=0)

    def step(before: Array, factor: Array) -> tuple[Array, tuple[Array, Array]]:
        joint = logsumexp(before[:, None] + factor, axis=0)
        density = logsumexp(joint)
        return joint - density, (joint - density, density)

    start = logsumexp(first)
    _, (filtered, density) = lax.scan(step, first - start, factors[1:])
    filtered = jnp.concatenate([(first - start)[None], filtered])
    return filtered, jnp.concatenate([start[None], density])


def backward(factors: Array, density: Array) -> Array:
    """log p(x_{t+1}, ... | z_t) relative to log p(x_{t+1}, ... | x_1, ..., x_t), (step, state)."""

    def step(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        factor, norm = now
        before = logsumexp(factor + after[None], axis=1) - norm
        return before, before

    last = jnp.zeros(factors.shape[1], factors.dtype)
    _, found = lax.scan(step, last, (factors[1:], density[1:]), reverse=True)
    return jnp.concatenate([found, last[None]])


def smoothed(factors: Array) -> tuple[Array, Array]:
    """log P(z_t | x) ``(step, state)``, and log p(x_t | x_1, ..., x_{t-1}) ``(step,)``."""
    filtered, density = forward(factors)
    return filtered + backward(factors, density), density


def pair_probabilities(factors: Array) -> tuple[Array, Array]:
    """P(z_{t-1} = i, z_t = j | x), ``(step, state, state)``, and log p(x)."""
    filtered, density = forward(factors)
    after = backward(factors, density)
    before = jnp.concatenate([jnp.zeros_like(filtered[:1]), filtered[:-1]])
    pairs = before[:, :, None] + factors + after[:, None] - density[:, None, None]
    return jnp.exp(pairs), density.sum()


def as_pairs(chain: Chain, weights: Array) -> Array:
    """Pair probabilities of independent steps ``(state, step)``."""
    count = len(weights)
    start = jnp.full(count, 1 / count) if chain.start else jnp.zeros(count).at[0].set(1)
    before = jnp.concatenate([start[:, None], weights[:, :-1]], axis=1)
    return before.T[:, :, None] * weights.T[:, None]


def best_path(factors: Array) -> tuple[Array, Array]:
    """The most probable path ``(step + 1,)``, and its log-density (Viterbi 1967).

    The first of its states is the one before the first step.
    """

    def step(best: Array, factor: Array) -> tuple[Array, Array]:
        joint = best[:, None] + factor
        return joint.max(0), joint.argmax(0)

    last, came_from = lax.scan(step, jnp.zeros(factors.shape[1], factors.dtype), factors)

    def back(state: Array, origin: Array) -> tuple[Array, Array]:
        return origin[state], origin[state]

    end = last.argmax()
    _, before = lax.scan(back, end, came_from, reverse=True)
    return jnp.concatenate([before, end[None]]).astype(jnp.int32), last.max()


def path_pairs(path: Array, states: int) -> Array:
    """The pairs of states of a path ``(step + 1,)``, as :func:`pair_probabilities` has them."""
    one_hot = (path[:, None] == jnp.arange(states)).astype(jnp.result_type(float))
    return one_hot[:-1, :, None] * one_hot[1:, None]


def draw_path(key: Array, factors: Array) -> Array:
    """A path given the data, ``(step,)``, by filtering forward and sampling backward."""
    filtered, _ = forward(factors)
    keys = random.split(key, len(factors))
    end = random.categorical(keys[-1], filtered[-1])

    def back(state: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        key, before, factor = now
        drawn = random.categorical(key, before + factor[:, state])
        return drawn, drawn

    _, before = lax.scan(back, end, (keys[:-1], filtered[:-1], factors[1:]), reverse=True)
    return jnp.concatenate([before, end[None]]).astype(jnp.int32)
