"""Where labels matter, clusters trade them as often as the posterior of the labels says."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from jax.flatten_util import ravel_pytree
from scipy.special import betaln

from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.methods.nuts import no_u_turns
from ppl_models.inference.problem import Problem
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope

STRENGTH = 2.0
SIZES = (5, 2, 1)
#: groups so far apart that every row keeps to its own
X = np.repeat([0.0, 1000.0, 2000.0], SIZES) + np.linspace(-1, 1, sum(SIZES))
PRIORS = {"loc_mean": 1000.0, "loc_scale": 1000.0, "scale_rate": 1.0}
SWEEPS = 4000


def _problem(fixed, **arguments):
    model = Model(gaussian_mixture, {"x": X}, {"clusters": 3, **PRIORS, **arguments}, fixed)
    return Problem(model, model.structure())


def _sizes_by_label(problem):
    """Rows of every label ``(sweep, label)``, read off the locations."""
    kernel = StatisticsGibbs(problem, keep_assignments=True)
    start = {
        "loc": jnp.array([0.0, 1000.0, 2000.0]),
        "scale": jnp.ones(3),
        "sticks": jnp.array([0.5, 0.5]),
    }
    state = kernel.init(random.key(0), 0, start, (), {})

    @jax.jit
    def run(state):
        def e_step(state, _):
            state = kernel.sample(state, (), {})
            return state, (state.z, state.assignment)

        return lax.scan(e_step, state, None, length=SWEEPS)[1]

    values, assignment = run(state)
    # the assignment moves with the locations that it means
    near = np.take_along_axis(np.asarray(values["loc"]), np.asarray(assignment), 1)
    assert np.abs(near - X).max() < 100
    sizes = (np.asarray(assignment)[:, :, None] == np.arange(3)).sum(1)
    return sizes, values


def _sizes_by_nuts(problem):
    """The same, by trajectories whose labels are traded."""
    structure = problem.structure
    kernel = no_u_turns(problem, max_tree_depth=4)
    start = {
        "loc": jnp.array([0.0, 1000.0, 2000.0]),
        "scale": jnp.ones(3),
        "sticks": jnp.array([0.5, 0.5]),
    }
    state = kernel.init(random.key(0), 200, structure.space.unconstrain(start), (), {})

    @jax.jit
    def run(state):
        def step(state, _):
            state = kernel.sample(state, (), {})
            return state, state.z["loc"]

        return lax.scan(step, state, None, length=200 + SWEEPS)[1]

    group = np.asarray(run(state))[200:] / 1000
    assert np.abs(group - group.round()).max() < 0.1
    return np.array(SIZES)[group.round().astype(int)]


def _expected(log_density):
    """Probability of every order of the groups, by their log-density."""
    orders = list(itertools.permutations(SIZES))
    density = np.exp([log_density(np.array(o)) for o in orders])
    return dict(zip(orders, density / density.sum(), strict=True))


def _of_sticks(sizes):
    later = np.cumsum(sizes[::-1])[::-1][1:]
    return betaln(1 + sizes[:-1], STRENGTH + later).sum()


def _compare(sizes, expected):
    for order, proportion in expected.items():
        here = (sizes == np.array(order)).all(1)
        # swaps follow one another: an effective size from batches of a hundred sweeps
        error = here.reshape(-1, 100).mean(1).std() / np.sqrt(SWEEPS / 100)
        assert error < 0.03
        assert abs(here.mean() - proportion) < 5 * max(error, 1e-3), order


def test_labels_of_sticks_have_their_posterior():
    with scope("float64"):
        problem = _problem({"strength": STRENGTH}, weight_prior="stick_breaking")
        assert problem.parameter_map.sticks == "sticks"
        sizes, values = _sizes_by_label(problem)
    _compare(sizes, _expected(_of_sticks))
    first = (sizes == np.array(SIZES)).all(1)  # there v_1 ~ Beta(1 + 5, 2 + 3)
    drawn = np.asarray(values["sticks"])[first, 0]
    assert abs(drawn.mean() - 6 / 11) < 5 * drawn.std() / np.sqrt(len(drawn) / 5)


@pytest.mark.long
def test_labels_of_sticks_have_their_posterior_by_trajectories_too():
    with scope("float64"):
        sizes = _sizes_by_nuts(_problem({"strength": STRENGTH}, weight_prior="stick_breaking"))
    _compare(sizes, _expected(_of_sticks))


def test_the_volume_of_a_trade_is_that_of_its_map():
    with scope("float64"):
        problem = _problem({}, weight_prior="stick_breaking")
        structure = problem.structure
        kernel = no_u_turns(problem)
        free = structure.space.unconstrain(structure.initial(random.key(3)))
        flat, unravel = ravel_pytree(free)
        for order in itertools.permutations(range(3)):
            there, volume = kernel._moved(free, jnp.array(order))
            back, returned = kernel._moved(there, jnp.argsort(jnp.array(order)))
            np.testing.assert_allclose(ravel_pytree(back)[0], flat, rtol=1e-10)
            slopes = jax.jacobian(
                lambda v, order=order: ravel_pytree(kernel._moved(unravel(v), jnp.array(order))[0])[
                    0
                ]
            )(flat)
            np.testing.assert_allclose(volume, jnp.linalg.slogdet(slopes)[1], atol=1e-10)
            np.testing.assert_allclose(volume, -returned, atol=1e-10)


def test_labels_of_held_weights_have_their_posterior():
    weights = np.array([0.5, 0.3, 0.2])
    with scope("float64"):
        problem = _problem({"weights": weights})
        assert problem.label_swaps is not None
        sizes, _ = _sizes_by_label(problem)
    _compare(sizes, _expected(lambda sizes: (sizes * np.log(weights)).sum()))


@pytest.mark.parametrize(
    "fixed",
    [{}, {"loc": np.array([0.0, 1000.0, 2000.0])}],
    ids=["exchangeable", "held locations"],
)
def test_labels_stay_where_no_move_is_needed_or_possible(fixed):
    with scope("float64"):
        assert _problem(fixed).label_swaps is None
