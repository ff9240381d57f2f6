"""Hidden chains of second order: every pass against all paths, and draws against their shares."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from ppl_models.distributions import HiddenMarkov, HiddenTokenChain, UnivariateGaussian
from ppl_models.errors import InputError

STEPS, DRAWS = 4, 4000
LENGTHS = np.array([4, 2, 3, 1])


def _world(states: int, ends: bool) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(states)
    columns = np.ones(states + ends)
    return {
        "initial": generator.dirichlet(np.ones(states)),
        "initial_transition": generator.dirichlet(columns, states),
        "transition": generator.dirichlet(columns, (states, states)),
        "loc": generator.normal(0, 1.5, states),
        "scale": generator.uniform(0.5, 2, states),
    }


def _rows() -> np.ndarray:
    rows = np.random.default_rng(4).normal(0, 2, (len(LENGTHS), STEPS))
    rows[np.arange(STEPS) >= LENGTHS[:, None]] = np.nan
    rows[0, 1] = np.nan  # a step that is missing
    return rows


def _chain(world: dict) -> HiddenMarkov:
    emission = UnivariateGaussian(world["loc"], world["scale"])
    parts = {n: world[n] for n in ("initial", "transition", "initial_transition")}
    return HiddenMarkov(**parts, emission=emission, positions=STEPS)


def _every_path(world: dict, row: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """All paths of one sequence, ``(path, step)``, and their joint densities with it."""
    states = len(world["initial"])
    paths = np.array(list(product(range(states), repeat=length)))
    joint = np.empty(len(paths))
    for n, path in enumerate(paths):
        joint[n] = world["initial"][path[0]]
        steps = [world["initial_transition"][path[0]]] + [
            world["transition"][r, s] for r, s in zip(path, path[1:], strict=False)
        ]
        for table, after in zip(steps, path[1:], strict=False):
            joint[n] *= table[after]
        if world["transition"].shape[-1] > states:
            joint[n] *= steps[length - 1][-1]
        for t, state in enumerate(path):
            if not np.isnan(row[t]):
                joint[n] *= stats.norm.pdf(row[t], world["loc"][state], world["scale"][state])
    return paths, joint


def _look(world: dict, rows: jnp.ndarray, weights: jnp.ndarray) -> dict:
    """Everything that is looked at, in one compilation."""
    chain = _chain(world)
    flat, centre = chain.components(), jnp.asarray(0.3)

    def density(world: dict) -> jnp.ndarray:
        return (_chain(world).log_prob(rows) * weights).sum()

    statistics = flat.expected_statistics(weights[None], rows, missing=False, centre=centre)

    def expected(world: dict) -> jnp.ndarray:
        return _chain(world).components().expected_log_density(statistics, centre).sum()

    paths = jax.vmap(lambda key: chain.sample_states(key, rows))(random.split(random.key(1), DRAWS))
    return {
        "density": chain.log_prob(rows),
        "shares": chain.state_probabilities(rows),
        "best": chain.most_likely_states(rows),
        "slopes": (jax.grad(density)(world), jax.grad(expected)(world)),
        "statistics": statistics,
        "paths": paths,
        "made": chain.sample_with_path(random.key(2), (DRAWS,)),
        "ahead": chain.continue_states(random.key(3), paths[:, 0], 2)[1],
        "ahead of one": chain.continue_states(random.key(4), paths[:, 3], 1)[1],
    }


#: pairs written out, and by library
CASES = [(2, True), (3, False)]


@pytest.fixture(scope="module", params=CASES, ids=["2 states that end", "3 states"])
def looked(request):
    """A world, and what is found in it."""
    with jax.enable_x64(True):
        world = _world(*request.param)
        weights = jnp.arange(1.0, 1.0 + len(LENGTHS))
        actual = jax.jit(_look)(jax.tree.map(jnp.asarray, world), jnp.asarray(_rows()), weights)
    return world, jax.tree.map(np.asarray, actual)


def test_sums_and_maxima_are_those_of_all_paths(looked):
    world, actual = looked
    for n, (row, length) in enumerate(zip(_rows(), LENGTHS, strict=True)):
        paths, joint = _every_path(world, row, length)
        np.testing.assert_allclose(actual["density"][n], np.log(joint.sum()), rtol=1e-12)
        proportion = joint / joint.sum()
        for state in range(len(world["initial"])):
            np.testing.assert_allclose(
                actual["shares"][n, :length, state], proportion @ (paths == state), atol=1e-12
            )
        np.testing.assert_array_equal(actual["best"][n, :length], paths[joint.argmax()])
        assert (actual["best"][n, length:] == -1).all()


def test_expected_statistics_are_counts_and_have_the_slope_of_the_density(looked):
    world, actual = looked
    slope, expected = actual["slopes"]
    for name in world:
        np.testing.assert_allclose(slope[name], expected[name], rtol=1e-9, atol=1e-10)
    counts = {n: np.zeros_like(world[n]) for n in ("initial", "initial_transition", "transition")}
    ends = world["transition"].shape[-1] > len(world["initial"])
    for n, (row, length) in enumerate(zip(_rows(), LENGTHS, strict=True)):
        paths, joint = _every_path(world, row, length)
        for path, weight in zip(paths, (n + 1) * joint / joint.sum(), strict=True):
            complete = [*path, len(world["initial"])] if ends else list(path)
            counts["initial"][complete[0]] += weight
            if len(complete) > 1:
                counts["initial_transition"][complete[0], complete[1]] += weight
            for triple in zip(complete, complete[1:], complete[2:], strict=False):
                counts["transition"][triple] += weight
    for name, count in counts.items():
        np.testing.assert_allclose(actual["statistics"][name][0], count, rtol=1e-10, atol=1e-12)


def _as_frequent(drawn: np.ndarray, proportion: np.ndarray) -> None:
    seen = np.bincount(drawn, minlength=len(proportion)) / len(drawn)
    error = np.sqrt(proportion * (1 - proportion) / len(drawn))
    assert (np.abs(seen - proportion) < 5 * error + 2 / len(drawn)).all()


def test_drawn_paths_are_as_frequent_as_they_are_probable(looked):
    world, actual = looked
    states = len(world["initial"])
    for n, (row, length) in enumerate(zip(_rows(), LENGTHS, strict=True)):
        _, joint = _every_path(world, row, length)
        drawn = actual["paths"][:, n]
        assert (drawn[:, length:] == -1).all()
        _as_frequent(drawn[:, :length] @ states ** np.arange(length)[::-1], joint / joint.sum())


def test_made_sequences_have_the_paths_of_their_chain(looked):
    """Whole paths in their shares, and steps about the mean of their own state."""
    world, actual = looked
    drawn, path = actual["made"]
    states = len(world["initial"])
    complete = path[(path >= 0).all(1)]
    _, joint = _every_path({**world, "transition": world["transition"][..., :states]},
                           np.full(STEPS, np.nan), STEPS)  # fmt: skip
    selected = joint.sum()
    assert abs(len(complete) / DRAWS - selected) < 5 * np.sqrt(0.25 / DRAWS)
    _as_frequent(complete @ states ** np.arange(STEPS)[::-1], joint / selected)
    np.testing.assert_array_equal(np.isnan(drawn), path == -1)
    for state in range(states):
        steps = drawn[path == state]
        error = world["scale"][state] / np.sqrt(len(steps))
        assert abs(steps.mean() - world["loc"][state]) < 5 * error


def test_what_comes_next_follows_the_last_two_states(looked):
    """After four states two more; after the only state of a sequence the step from the first."""
    world, actual = looked
    states = len(world["initial"])
    last = actual["paths"][:, 0, -2:]
    for pair in product(range(states), repeat=2):
        ahead = actual["ahead"][(last == pair).all(1)]
        if len(ahead) < 100:
            continue
        first = world["transition"][pair]
        _as_frequent(np.where(ahead[:, 0] < 0, states, ahead[:, 0]), np.append(first, 0))
        for state in range(states):
            then = ahead[ahead[:, 0] == state, 1]
            if len(then) < 30:
                continue
            proportion = world["transition"][pair[1], state]
            _as_frequent(np.where(then < 0, states, then), np.append(proportion, 0))
    only = actual["paths"][:, 3, 0]
    for state in range(states):
        then = actual["ahead of one"][only == state, 0]
        proportion = world["initial_transition"][state]
        _as_frequent(np.where(then < 0, states, then), np.append(proportion, 0))


#: two steps in a state, two in the other: the last state alone does not tell what comes next
TURNS = np.array([[[0.05, 0.95], [0.1, 0.9]], [[0.9, 0.1], [0.95, 0.05]]])


def _after_em(chain: HiddenMarkov, rows: jnp.ndarray, maximum_likelihood: Callable) -> HiddenMarkov:
    """EM, all updates in closed form."""
    flat, centre = chain.components(), jnp.zeros(())
    prepared = flat.prepare(rows, missing=False, centre=centre)

    def step(_: int, flat: HiddenMarkov) -> HiddenMarkov:
        total, looked = flat.infer_latents(prepared, missing=False, centre=centre)
        statistics = flat.prepared_statistics(
            jnp.ones_like(total), looked, missing=False, centre=centre
        )
        return maximum_likelihood(flat, statistics, centre)

    return jax.lax.fori_loop(0, 60, step, flat)


def test_a_world_of_second_order_is_found_by_the_second_order_alone(hidden):
    """It predicts sequences that it never saw; a chain of first order does not know what comes."""
    generator = np.random.default_rng(0)
    path = generator.integers(0, 2, (40, 40))
    for t in range(2, 40):
        path[:, t] = generator.random(40) < TURNS[path[:, t - 2], path[:, t - 1], 1]
    data = jnp.asarray(generator.normal(3.0 * path))
    old, new = data[:20], data[20:]
    emission = UnivariateGaussian(np.array([0.5, 2.0]), np.full(2, 2.0))
    proportion, table = np.array([0.5, 0.5]), generator.dirichlet(np.ones(2), (2, 2))
    one = HiddenMarkov(proportion, table[0], emission, positions=40)
    two = HiddenMarkov(proportion, table, emission, positions=40, initial_transition=table[0])

    @jax.jit
    def look() -> tuple:
        chains = [_after_em(chain, old, hidden.maximum_likelihood) for chain in (one, two)]
        return (
            [c.log_prob(new) for c in chains],
            chains[1].transition[0],
            chains[1].most_likely_states(old),
        )

    (first, second), transition, actual = jax.tree.map(np.asarray, look())
    gain = second - first
    assert gain.mean() > 5 and gain.mean() > 5 * gain.std() / np.sqrt(len(gain))
    # some 190 steps start from every pair of states
    np.testing.assert_allclose(transition, TURNS, atol=5 * np.sqrt(0.09 / 190))
    assert (actual == path[:20]).mean() > 0.95


def test_what_does_not_depend_on_the_state_before_last_is_of_first_order():
    world, rows = _world(2, True), jnp.asarray(_rows())
    step = world["initial_transition"]
    emission = UnivariateGaussian(world["loc"], world["scale"])
    one = HiddenMarkov(world["initial"], step, emission, positions=STEPS)
    two = HiddenMarkov(
        world["initial"], np.stack([step, step]), emission,
        positions=STEPS, initial_transition=step,
    )  # fmt: skip
    assert (one.markov_chain.order, two.markov_chain.order, one.states, two.states) == (1, 2, 2, 2)
    both = jax.jit(
        lambda rows: [(c.log_prob(rows), c.most_likely_states(rows)) for c in (one, two)]
    )
    (density, path), (actual, best) = both(rows)
    np.testing.assert_allclose(actual, density, rtol=1e-12)
    np.testing.assert_array_equal(best, path)


def test_one_state_is_its_emission():
    alone = HiddenMarkov(
        [1.0], np.ones((1, 1, 1)), UnivariateGaussian(np.zeros(1), np.ones(1)),
        positions=STEPS, initial_transition=np.ones((1, 1)),
    )  # fmt: skip
    expected = np.nansum(stats.norm.logpdf(_rows()), axis=1)
    actual = jax.jit(alone.log_prob)(jnp.asarray(_rows()))
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_tokens_that_are_cut_empty_or_missing():
    """As of first order: all that begin so, no probability, and summed out."""
    world = _world(2, True)
    probs = np.array([[0.9, 0.1], [0.3, 0.7]])
    parts = {n: world[n] for n in ("initial", "initial_transition", "transition")}
    chain = HiddenTokenChain(**parts, probs=probs, positions=3)
    ended = [[0, 2, 2], [1, 2, 2], *([a, b, 2] for a in (0, 1) for b in (0, 1))]
    cut = list(product(range(2), repeat=3))
    rows = jnp.array([[2, 2, 2], *ended, *cut, [0, -1, 2]])
    actual = np.exp(jax.jit(chain.log_prob)(rows))
    assert actual[0] == 0
    np.testing.assert_allclose(actual[1:-1].sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(actual[-1], actual[3] + actual[4], rtol=1e-12)


def test_shapes_that_do_not_fit_are_refused():
    world = _world(2, False)
    with pytest.raises(InputError, match=r"initial_transition has shape \(2, 2\) and transition"):
        HiddenMarkov(
            world["initial"], world["transition"][0],
            UnivariateGaussian(world["loc"], world["scale"]),
            positions=2, initial_transition=world["initial_transition"],
        )  # fmt: skip
