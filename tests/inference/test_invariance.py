"""Every Gibbs kernel leaves the posterior as it is: values from the prior are still from it.

Global sites are drawn from the prior and data given them; a kernel of fixed tuning starts at those
very values, which are then a draw of the posterior, and sweeps. Whatever the number of sweeps and
however slowly they mix, values and data stay a draw of the program (Geweke 2004, JASA 99). The test
pairs each simulation's start with its end, whose bounded functions have equal means.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import lax, random

from ppl_models.inference.mcmc import gibbs_kernel, hmc_step, rowwise_gibbs
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.mcmc.hmc_step import curved_transition, transition
from ppl_models.inference.mcmc.rowwise_gibbs import RowwiseGibbs
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import rowwise_plan
from ppl_models.inference.simulated_data import on_simulated_data, simulate
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.models.latent_dirichlet_allocation import latent_dirichlet_allocation
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.sites import UnconstrainedSpace

ROWS = 8
FARTHEST = 4.5  #: standard errors; of 100 statistics one is as far off once in 1,500 tests
FOUND = 6.0  #: that a broken kernel is off


def banana(key):
    """A point of two numbers that a density bends: x ~ N(0, 1), y ~ N(x², 1/2)."""
    x, noise = random.normal(key, (2,))
    return jnp.stack([x, x**2 + 0.5 * noise])


def banana_density(point):
    x, y = point
    return dist.Normal(0, 1).log_prob(x) + dist.Normal(x**2, 0.5).log_prob(y)


def plain(key, point, log_density):
    return transition(key, point, log_density, jnp.array([1.0, 0.3]), (0.1, 0.5))[0]


def curved(key, point, log_density):
    return curved_transition(key, point, jnp.array([0.5, 0.5]), log_density)


def from_where_it_is(key, point, log_density):
    return curved_transition(key, point, point, log_density)


def ends(step, count=8000, steps=2):
    """Exact draws and what steps make of them, ``(count, number)`` each."""

    @jax.jit
    @jax.vmap
    def one(key):
        draw_key, *keys = random.split(key, steps + 1)
        begun = point = banana(draw_key)
        for own in keys:
            point = step(own, point, banana_density)
        return begun, point

    return one(random.split(random.key(0), count))


def errors(begun, ended):
    """How far means of bounded functions are off, in standard errors; and the share that moved."""
    pairs = zip(jax.tree.leaves(begun), jax.tree.leaves(ended), strict=True)
    off, moved = [], []
    for first, last in pairs:
        # (in single precision: sticks end at 1, or next to it where a kernel keeps them off)
        first, last = (np.asarray(v, np.float32).reshape(len(v), -1) for v in (first, last))
        for before, after in zip(first.T, last.T, strict=True):
            ordered = np.sort(before)
            one, other = (np.searchsorted(ordered, v) / len(ordered) for v in (before, after))
            moved.append(np.mean(before != after))
            for function in (lambda u: u, lambda u: (u - 0.5) ** 2, lambda u: u > 0.97):
                gain = function(other).astype(float) - function(one)
                off.append(abs(gain.mean()) / (gain.std() / np.sqrt(len(gain)) + 1e-12))
    return np.max(off), np.mean(moved)


@pytest.mark.parametrize("step", [plain, curved])
def test_hamiltonian_transitions_leave_a_density_as_it_is(step):
    with scope("float64"):
        off, moved = errors(*ends(step))
    assert off < FARTHEST and moved > 0.7


def test_a_metric_that_goes_with_the_point_is_found_out(monkeypatch):
    monkeypatch.setattr(hmc_step, "NEWTON_STEPS", 0)
    with scope("float64"):
        assert errors(*ends(from_where_it_is))[0] > FOUND


@jax.custom_vjp
def slopes_in_reverse_only(point):
    return -0.5 * (point**2).sum()


slopes_in_reverse_only.defvjp(
    lambda point: (-0.5 * (point**2).sum(), point), lambda point, g: (-g * point,)
)


def test_a_density_without_second_derivatives_moves_in_the_adapted_metric():
    init, step = hmc_step.hmc_step(0, 10)
    point = jnp.ones(2)
    state = init(random.key(0), point)
    for iteration in range(hmc_step.EVERY):
        before = point
        state, point = step(
            random.key(iteration), state, point, slopes_in_reverse_only, jnp.array(iteration)
        )
        assert np.isfinite(point).all() and (point != before).all()


def lines(y=None, *, rows=None):
    """Regressions with an unknown noise: assignments, weights, and Hamiltonian steps."""
    rows = rows if y is None else len(y)
    x = jnp.linspace(-1, 1, rows)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("cluster", 2):
        slope = numpyro.sample("slope", dist.Normal(0.0, 2.0))
        noise = numpyro.sample("noise", dist.LogNormal(-0.5, 0.5))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("y", dist.Normal(slope[z] * x, noise[z]), obs=y)


def heavy_tails(y=None, *, rows=None):
    """Under stick breaking, where labels are swapped."""
    rows = rows if y is None else len(y)
    sticks = numpyro.sample("sticks", dist.Beta(1.0, 2.0).expand([2]).to_event(1))
    left = jnp.concatenate([jnp.ones(1), jnp.cumprod(1 - sticks)])
    weights = left * jnp.concatenate([sticks, jnp.ones(1)])
    with numpyro.plate("cluster", 3):
        loc = numpyro.sample("loc", dist.Normal(0.0, 4.0))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("y", dist.StudentT(4.0, loc[z], 1.0), obs=y)


def effects(y=None, *, rows=None):
    """Rows' own continuous sites."""
    rows = rows if y is None else len(y)
    spread = numpyro.sample("spread", dist.LogNormal(0.0, 0.5))
    with numpyro.plate("row", rows):
        level = numpyro.sample("level", dist.Normal(0.0, spread))
        return numpyro.sample("y", dist.Normal(level, 0.5), obs=y)


GAUSSIAN = {
    "clusters": 2,
    "loc_mean": 0.0,
    "loc_scale": 3.0,
    "scale_concentration": 3.0,
    "scale_rate_mean": 1.0,
    "resolution": 0.01,
}
TOPICS = {"document": np.repeat(np.arange(2), 4), "documents": 2, "topics": 2, "words": 3}
CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "regressions": (lines, {}, "y"),
    "sticks": (heavy_tails, {}, "y"),
    "effects of rows": (effects, {}, "y"),
    "tables": (latent_dirichlet_allocation, TOPICS, "word"),
    "statistics": (gaussian_mixture, GAUSSIAN, "x"),
    "statistics, sticks": (gaussian_mixture, GAUSSIAN | {"weight_prior": "stick_breaking"}, "x"),
}


def swept(case: str, count=2000, sweeps=4, step_size=0.3, seed=0):
    """Global sites and log joint density before and after sweeps, ``(count, ...)`` each."""
    program, arguments, site = CASES[case]
    sized = {} if "document" in arguments else {"rows": ROWS}
    source = Model(program, {}, arguments | sized, {})
    drawn = jax.jit(lambda key: simulate(source, key))(random.key(seed))
    model = Model(program, {site: np.asarray(drawn[site])}, arguments, {})
    problem = Problem(model, model.structure()).with_locals()
    structure = problem.structure
    # read outside the compiled function
    _ = problem.parameter_map, problem.example, problem.label_swaps, problem.row_order
    _ = problem.chunks if problem.sums_rows_up else rowwise_plan(problem)
    kernel_type = StatisticsGibbs if problem.sums_rows_up else RowwiseGibbs

    @jax.jit
    @jax.vmap
    def one(key):
        truth_key, other_key, key = random.split(key, 3)
        drawn, other = simulate(source, truth_key), simulate(source, other_key)
        here = on_simulated_data(problem, problem.model.with_data({site: drawn[site]}))
        kernel = kernel_type(here)
        start = {n: drawn[n] for n in structure.names}
        state = kernel.init(key, 0, start, (), {})
        if kernel.free:
            space = structure.space.of(kernel.free)
            # where modes are looked for must not depend on where the chain starts
            elsewhere = space.ravel(space.unconstrain({n: other[n] for n in structure.names}))
            adapt = state.hmc.adapt._replace(step_size=jnp.asarray(step_size))
            state = state._replace(hmc=state.hmc._replace(adapt=adapt, reference=elsewhere))
        ended = lax.fori_loop(0, sweeps, lambda _, s: kernel.sample(s, (), {}), state).z
        density = partial(log_joint, here.model, structure)
        return {**start, ".": density(start)}, {**ended, ".": density(ended)}

    return one(random.split(random.key(seed + 1), count))


@pytest.mark.parametrize("case", CASES)
def test_sweeps_leave_the_posterior_as_it_is(case, monkeypatch):
    monkeypatch.setattr(hmc_step, "EVERY", 2)
    with scope("float64"):
        off, moved = errors(*swept(case))
    assert off < FARTHEST and moved > 0.7


def _with_weights(function):
    """Assignments that are drawn as if all clusters were equally common."""

    def drawn(model, key, values, structure):
        return function(model, key, {**values, "weights": jnp.full(2, 0.5)}, structure)

    return drawn


def _of_no_rows(function):
    """Labels that are swapped as if clusters had no rows."""

    def swapped(key, moves, model, structure, values, counts):
        return function(key, moves, model, structure, values, 0 * counts)

    return swapped


def _without_volume(function):
    """A density whose numbers are taken for the sites themselves."""

    def volume(space, free):
        values, _ = function(space, free)
        return values, 0.0

    return volume


def _with_more(function):
    """Tables whose every count is one too large."""
    return lambda *inputs: jax.tree.map(lambda v: v + 1, function(*inputs))


BROKEN = {
    "assignments": ("regressions", rowwise_gibbs, "draw_assignments", _with_weights),
    "swaps": ("sticks", rowwise_gibbs, "swap_labels", _of_no_rows),
    "swaps by statistics": ("statistics, sticks", gibbs_kernel, "swap_labels", _of_no_rows),
    "volume": ("regressions", UnconstrainedSpace, "constrain_with_volume", _without_volume),
    "tables": ("tables", rowwise_gibbs, "table_counts", _with_more),
}


@pytest.mark.parametrize("part", BROKEN)
def test_a_broken_part_is_found_out(part, monkeypatch):
    case, owner, name, broken = BROKEN[part]
    monkeypatch.setattr(owner, name, broken(getattr(owner, name)))
    with scope("float64"):
        assert errors(*swept(case))[0] > FOUND
