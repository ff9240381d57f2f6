"""Passes over hidden paths against the sum, the largest and the frequencies of all of them."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models import device
from ppl_models.distributions.hmm import forward_backward, steps
from ppl_models.distributions.hmm.backward_sampling import sample_path
from ppl_models.distributions.hmm.forward_backward import PathFactors
from ppl_models.distributions.hmm.viterbi import best_path

STATES, STEPS = 3, 5
LENGTHS = np.array([5, 1, 3, 4])
DRAWS = 4000


def _chain(ends):
    generator = np.random.default_rng(5)
    initial = generator.dirichlet(np.ones(STATES))
    table = generator.dirichlet(np.ones(STATES + 1), STATES)
    end = table[:, -1] if ends else np.ones(STATES)
    step = table[:, :-1] if ends else table[:, :-1] / table[:, :-1].sum(1, keepdims=True)
    return PathFactors(initial, step, end)


def _logits():
    return np.random.default_rng(6).normal(-1, 1.5, (STATES, STEPS, len(LENGTHS)))


def _every_path(chain, logits, length):
    """All paths of one sequence, ``(path, step)``, and their joint probabilities with the data."""
    paths = np.array(list(product(range(STATES), repeat=int(length))))
    joint = np.empty(len(paths))
    for n, path in enumerate(paths):
        weight = chain.initial[path[0]] * chain.end[path[-1]]
        for before, after in zip(path[:-1], path[1:], strict=True):
            weight *= chain.step[before, after]
        joint[n] = weight * np.exp(sum(logits[state, t] for t, state in enumerate(path)))
    return paths, joint


def pytest_generate_tests(metafunc):
    """Chains that end or not, steps one by one or in blocks, products written out or not.

    Products by library are looked at in the quick tests for one chain and one order of steps.
    """
    names = [n for n in ("ends", "wide", "library") if n in metafunc.fixturenames]
    cases = []
    for values in product([False, True], repeat=len(names)):
        case = dict(zip(names, values, strict=True))
        rare = case.get("library") and (case["wide"] or not case.get("ends", True))
        marks = pytest.mark.long if rare else ()
        words = [WORDS[name][value] for name, value in case.items()]
        cases.append(pytest.param(*values, marks=marks, id="-".join(words)))
    metafunc.parametrize(names, cases, indirect=True)


WORDS = {
    "ends": ("cut by its observer", "ends by itself"),
    "wide": ("step by step", "in blocks"),
    "library": ("written out", "by library"),
}


@pytest.fixture
def ends(request):
    """Whether the chain ends by itself."""
    return request.param


@pytest.fixture(autouse=True)
def wide(request, monkeypatch):
    """Whether steps are passed over in blocks, as on a GPU."""
    if not request.param:
        yield False
        return
    monkeypatch.setattr(device, "is_wide", lambda: True)
    monkeypatch.setattr(device, "BLOCK_STEPS", 2)
    jax.clear_caches()  # what was traced before goes step by step
    yield True
    jax.clear_caches()


@pytest.fixture
def library(request, monkeypatch, wide):
    """How the products with the transition matrix are made."""
    if request.param:
        monkeypatch.setattr(forward_backward, "FEW", 0)
        monkeypatch.setattr(steps, "FEW", 0)
    return wide, request.param


def _expected(chain, logits, lengths, weights=None):
    """Log-likelihoods, and the posterior of the paths."""
    total, filtered = forward_backward.forward(chain, logits, lengths)
    weights = jnp.ones(len(lengths), total.dtype) if weights is None else weights
    return total, forward_backward.backward(chain, filtered, weights, lengths)


def _passes(chain, logits, lengths, keys):
    """Everything that is looked at, in one compilation."""

    def total(chain, logits):
        return forward_backward.log_likelihood(chain, logits, lengths).sum()

    weights = jnp.arange(1.0, 1.0 + len(lengths))
    likelihood, paths = _expected(chain, logits, lengths)
    weighted = _expected(chain, logits, lengths, weights)[1]
    return {
        "likelihood": forward_backward.log_likelihood(chain, logits, lengths),
        "likelihood again": likelihood,
        "states": paths.states,
        "steps": forward_backward.transitions(weighted),
        "endings": forward_backward.endings(weighted, lengths).sum(-1),
        "filtered": forward_backward.filtered_states(chain, logits, lengths),
        "best": best_path(chain, logits, lengths),
        "slopes": jax.grad(total, (0, 1))(chain, logits),
        "drawn": jax.vmap(lambda key: sample_path(key, chain, logits, lengths)[1])(keys),
    }


@pytest.fixture(scope="module")
def passed():
    """``passed(ends, library)``: everything that the passes find, computed once."""
    made = {}

    def of(ends, library):
        if (ends, library) not in made:
            chain = PathFactors(*map(jnp.asarray, _chain(ends)))
            keys = random.split(random.key(0), DRAWS)
            # a function of its own: what is written out is fixed when it is traced
            look = jax.jit(lambda *values: _passes(*values))
            actual = look(chain, jnp.asarray(_logits()), jnp.asarray(LENGTHS), keys)
            made[ends, library] = jax.tree.map(np.asarray, actual)
        return made[ends, library]

    return of


def test_sums_over_paths_equal_brute_force(ends, library, passed):
    chain, logits, actual = _chain(ends), _logits(), passed(ends, library)
    moved, endings = np.zeros((STATES, STATES)), np.zeros(STATES)
    for n, length in enumerate(LENGTHS):
        paths, joint = _every_path(chain, logits[..., n], length)
        proportion = joint / joint.sum()
        np.testing.assert_allclose(actual["likelihood"][n], np.log(joint.sum()), rtol=1e-12)
        np.testing.assert_allclose(actual["likelihood again"][n], np.log(joint.sum()), rtol=1e-12)
        for state in range(STATES):
            expected = np.zeros(STEPS)
            expected[:length] = proportion @ (paths == state)
            np.testing.assert_allclose(actual["states"][state, :, n], expected, atol=1e-12)
        for path, weight in zip(paths, (n + 1) * proportion, strict=True):
            np.add.at(moved, (path[:-1], path[1:]), weight)
            endings[path[-1]] += weight
    np.testing.assert_allclose(actual["steps"], moved, rtol=1e-10)
    np.testing.assert_allclose(actual["endings"], endings, rtol=1e-10)


def test_filtered_states_know_the_past_only(ends, library, passed):
    chain, logits, actual = _chain(ends), _logits(), passed(ends, library)
    open_end = chain._replace(end=np.ones(STATES))
    for n, length in enumerate(LENGTHS):
        for t in range(length):
            paths, joint = _every_path(open_end, logits[..., n], t + 1)
            expected = [joint[paths[:, -1] == state].sum() for state in range(STATES)]
            np.testing.assert_allclose(
                actual["filtered"][:, t, n], np.array(expected) / joint.sum(), rtol=1e-10
            )


def test_best_path_is_the_best(ends, library, passed):
    chain, logits = _chain(ends), _logits()
    score, path = passed(ends, library)["best"]
    for n, length in enumerate(LENGTHS):
        paths, joint = _every_path(chain, logits[..., n], length)
        np.testing.assert_allclose(score[n], np.log(joint.max()), rtol=1e-12)
        np.testing.assert_array_equal(path[:length, n], paths[joint.argmax()])
        assert (path[length:, n] == path[length - 1, n]).all()


def test_slopes_are_expected_statistics(ends, library, passed):
    """Fisher's identity: the slope of the log-likelihood is the expected number of uses."""
    chain, actual = _chain(ends), passed(ends, library)
    by_chain, by_logits = actual["slopes"]
    np.testing.assert_allclose(by_logits, actual["states"], atol=1e-12)
    first = actual["states"][:, 0].sum(-1)
    np.testing.assert_allclose(by_chain.initial * chain.initial, first, rtol=1e-10)
    moved, endings = np.zeros((STATES, STATES)), np.zeros(STATES)
    for n, length in enumerate(LENGTHS):
        paths, joint = _every_path(chain, _logits()[..., n], length)
        for path, weight in zip(paths, joint / joint.sum(), strict=True):
            np.add.at(moved, (path[:-1], path[1:]), weight)
            endings[path[-1]] += weight
    np.testing.assert_allclose(by_chain.step * chain.step, moved, rtol=1e-10)
    np.testing.assert_allclose(by_chain.end * chain.end, endings, rtol=1e-10)


def test_draws_are_as_frequent_as_their_paths_are_probable(ends, library, passed):
    chain, logits, drawn = _chain(ends), _logits(), passed(ends, library)["drawn"]
    for n, length in enumerate(LENGTHS):
        paths, joint = _every_path(chain, logits[..., n], length)
        proportion = joint / joint.sum()
        code = STATES ** np.arange(length)[::-1]  # the order in which all paths are listed
        counts = np.bincount(drawn[:, :length, n] @ code, minlength=len(paths))
        error = np.sqrt(proportion * (1 - proportion) / DRAWS)
        assert (np.abs(counts / DRAWS - proportion) < 5 * error + 2 / DRAWS).all()


def test_impossible_sequences_have_no_probability_and_are_no_nan(library):
    chain = PathFactors(jnp.array([1.0, 0.0]), jnp.eye(2), jnp.ones(2))
    logits = np.zeros((2, STEPS, 4))
    logits[0, 1, 0] = -np.inf  # the only state that can be there
    logits[:, 2, 1] = -np.inf  # both
    logits[0, 4, 2] = -np.inf  # the last step
    logits[1, :, 3] = -np.inf  # the state that cannot be there anyway
    lengths = jnp.full(4, STEPS)

    @jax.jit
    def look(logits):
        likelihood, paths = _expected(chain, logits, lengths)
        best, _ = best_path(chain, logits, lengths)
        drawn = sample_path(random.key(0), chain, logits, lengths)[0]
        return likelihood, best, drawn, paths

    *totals, paths = look(jnp.asarray(logits))
    for total in totals:
        np.testing.assert_array_equal(total, [-np.inf, -np.inf, -np.inf, 0.0])
    assert all(np.isfinite(v).all() for v in paths)
    np.testing.assert_array_equal(paths.states[:, :, 3], [[1.0] * STEPS, [0.0] * STEPS])


def test_a_hundred_thousand_steps_in_single_precision(wide, monkeypatch):
    """Nothing underflows, the sum keeps its digits, and the slope is finite."""
    steps = 1_000 if wide else 100_000  # (many levels of blocks take long to compile)
    monkeypatch.setattr(device, "BLOCK_STEPS", 200)
    generator = np.random.default_rng(8)
    chain = PathFactors(np.array([0.3, 0.7]), np.array([[0.99, 0.01], [0.02, 0.98]]), np.ones(2))
    logits = generator.normal(-40.0, 8.0, (2, steps, 1))
    lengths = jnp.array([steps - 7])

    @jax.jit
    def look(chain, logits):
        def total(logits):
            return forward_backward.log_likelihood(chain, logits, lengths).sum()

        _, paths = _expected(chain, logits, lengths)
        path = sample_path(random.key(0), chain, logits, lengths)[1]
        return *jax.value_and_grad(total)(logits), paths.states, path

    def at(dtype):
        values = jax.tree.map(lambda v: jnp.asarray(v, dtype), (chain, logits))
        return [np.asarray(v) for v in look(*values)]

    total, slope, states, path = at(jnp.float32)
    exact, _, exact_states, _ = at(jnp.float64)
    assert total.dtype == states.dtype == np.float32
    np.testing.assert_allclose(total, exact, rtol=1e-6)
    np.testing.assert_allclose(states, exact_states, atol=2e-5)
    np.testing.assert_allclose(slope, states, atol=2e-4)
    assert np.isin(path, (0, 1)).all()
    inside = path[: steps - 7, 0]
    proportion = exact_states[1, : steps - 7, 0]
    # variances of neighbouring steps add up within a run of one state, at most some 100 steps
    error = np.sqrt(100 * (proportion * (1 - proportion)).mean() / len(proportion))
    assert abs(inside.mean() - proportion.mean()) < 5 * error


def test_an_empty_sequence_begins_and_ends():
    """Its probability is that of ending where it began, and so are the slopes."""
    chain = PathFactors(*map(jnp.asarray, _chain(True)))
    logits, lengths = jnp.zeros((STATES, STEPS, 1)), jnp.array([0])

    def total(chain, logits):
        return forward_backward.log_likelihood(chain, logits, lengths)[0]

    value, (by_chain, by_logits) = jax.jit(jax.value_and_grad(total, (0, 1)))(chain, logits)
    proportion = chain.initial * chain.end
    np.testing.assert_allclose(value, np.log(proportion.sum()), rtol=1e-12)
    np.testing.assert_allclose(by_chain.initial, chain.end / proportion.sum(), rtol=1e-12)
    np.testing.assert_allclose(by_chain.end, chain.initial / proportion.sum(), rtol=1e-12)
    assert not by_chain.step.any() and not by_logits.any()


@pytest.mark.parametrize("states", [5, 20])
def test_sums_next_to_a_power_of_two_are_scaled_once(states, monkeypatch):
    """Where no step is seen all paths add up to one, and every sum is one but for rounding."""
    steps, sequences = 500, 20
    monkeypatch.setattr(device, "BLOCK_STEPS", 100)
    generator = np.random.default_rng(0)
    initial = generator.dirichlet(np.ones(states))
    table = generator.dirichlet(np.ones(states), states)
    chain = PathFactors(*(jnp.asarray(v, jnp.float32) for v in (initial, table, np.ones(states))))
    logits = jnp.zeros((states, steps, sequences), jnp.float32)
    lengths = jnp.full(sequences, steps)
    total, paths = jax.jit(_expected)(chain, logits, lengths)
    np.testing.assert_allclose(total, 0, atol=1e-4)
    moved = forward_backward.transitions(paths).sum()
    np.testing.assert_allclose(moved, sequences * (steps - 1), rtol=1e-4)
    value = jax.jit(forward_backward.log_likelihood)(chain, logits, lengths)
    np.testing.assert_allclose(value, 0, atol=1e-4)


def test_slopes_have_slopes(ends):
    """Hessians, side by side too, as differences of slopes; there is no reverse mode of slopes."""
    logits, lengths = jnp.asarray(_logits()), jnp.asarray(LENGTHS)

    def total(table):
        chain = PathFactors(table[0], table[1:], jnp.full(STATES, 0.5 if ends else 1.0))
        return forward_backward.log_likelihood(chain, logits, lengths).sum()

    tables = np.random.default_rng(1).dirichlet(np.ones(STATES), (2, STATES + 1))
    actual = jax.jit(jax.vmap(jax.hessian(total)))(jnp.asarray(tables))
    slope, small = jax.jit(jax.grad(total)), 1e-6
    for table, hessian in zip(tables, actual, strict=True):
        for place in np.ndindex(table.shape):
            step = np.zeros_like(table)
            step[place] = small
            difference = (slope(table + step) - slope(table - step)) / (2 * small)
            np.testing.assert_allclose(hessian[..., *place], difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_states_that_only_the_future_makes_probable(dtype):
    """Neither past nor future alone would have chosen the state; nothing overflows."""
    chain = PathFactors(np.array([0.5, 0.5]), np.eye(2), np.ones(2))  # once in a state, always
    lean = 0.9 * np.log(np.finfo(dtype).max) / 8
    logits = np.zeros((2, 17, 1))
    logits[0, :8], logits[1, 8:16] = lean, lean  # first for one state, then for the other
    logits[1, 16] = 3.0
    chain, logits = jax.tree.map(lambda v: jnp.asarray(v, dtype), (chain, logits))
    total, paths = jax.jit(_expected)(chain, logits, jnp.array([17]))
    proportion = 1 / (1 + np.exp(-3.0))
    np.testing.assert_allclose(paths.states[1, :, 0], proportion, rtol=1e-4)
    np.testing.assert_allclose(forward_backward.transitions(paths).sum(), 16, rtol=1e-4)
    np.testing.assert_allclose(total, 8 * lean + np.log(0.5 + 0.5 * np.exp(3.0)), rtol=1e-6)
