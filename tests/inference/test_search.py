"""Short runs of EM before long ones, and split–merge moves after them."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy.special import logsumexp

from experiments.optima.__main__ import REACHED, from_truth, read
from experiments.optima.cases import click_streams
from ppl_models.inference.em.search import lanes_of
from ppl_models.inference.em.split_merge import (
    CHEAPEST,
    THAW,
    Move,
    _copied,
    component_weights,
    draw_moves,
)
from ppl_models.inference.initial.from_weights import Update
from ppl_models.inference.methods.em import em
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import soft
from ppl_models.models.bernoulli_mixture import bernoulli_mixture
from ppl_models.models.hidden_markov import hidden_markov
from ppl_models.program.model import Model


@pytest.fixture(scope="module")
def ten_kinds():
    """A mixture of ten chains whose best of sixteen plain starts lies 140 nats below the truth."""
    case = click_streams(1)
    with jax.enable_x64(True):
        problem = read(case)
        return from_truth(problem, case), em(problem, random.key(1))


# (what default fits find: test_default_recovery.py; short runs and moves: the other tests here)
@pytest.mark.long
def test_default_em_of_ten_chains_comes_to_the_truths_optimum(ten_kinds):
    bar, result = ten_kinds
    assert result.sample_stats["lp"][0, 0] >= bar - REACHED

    final = result.starts["final"][1]
    assert len(final) == lanes_of(16)  # the others were left after a few iterations


def test_objectives_rise_over_short_runs_long_runs_and_moves(ten_kinds):
    _, result = ten_kinds
    objective, iterations = (result.starts[n][1] for n in ("objective", "iterations"))
    final = result.starts["final"][1]
    for row, count, last in zip(objective, iterations, final, strict=True):
        seen = row[np.isfinite(row)]
        assert len(seen) == count and seen[-1] == last
        assert (np.diff(seen) >= -1e-9 * abs(last)).all()


def _update(problem):
    return Update(problem.structure, (), (), False, problem.chunks.missing)


def test_rows_of_a_removed_cluster_go_to_the_others():
    rows = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 1]])
    model = Model(bernoulli_mixture, {"x": rows}, {"clusters": 3}, {})
    problem = Problem(model, model.structure())
    generator = np.random.default_rng(0)
    weights, probs = generator.dirichlet(np.ones(3)), generator.uniform(0.2, 0.8, (3, 3))
    log_density = np.log(weights)[:, None] + np.where(
        rows, np.log(probs)[:, None], np.log1p(-probs)[:, None]
    ).sum(-1)
    selected = log_density[[0, 2]]
    values = {"weights": jnp.asarray(weights), "probs": jnp.asarray(probs)}
    actual, normaliser = component_weights(
        model,
        _update(problem),
        {"x": jnp.asarray(rows)},
        problem.chunks.centres,
        jnp.ones(4),
        values,
        soft,
        1,
    )
    expected = np.exp(selected - logsumexp(selected, axis=0))
    np.testing.assert_allclose(actual[jnp.array([0, 2])], expected, rtol=1e-4)
    np.testing.assert_array_equal(actual[1], 0)
    np.testing.assert_allclose(normaliser, logsumexp(selected, axis=0).sum(), rtol=1e-5)


def test_steps_of_a_removed_state_go_to_paths_without_it():
    x = np.array([[[0.0], [2.0], [1.0]], [[1.5], [0.5], [2.5]]])
    model = Model(hidden_markov, {"x": x}, {"states": 3}, {})
    problem = Problem(model, model.structure())
    generator = np.random.default_rng(1)
    initial, transition = generator.dirichlet(np.ones(3)), generator.dirichlet(np.ones(3), 3)
    loc = np.array([0.0, 1.0, 2.0])
    values = {
        "initial": jnp.asarray(initial),
        "transition": jnp.asarray(transition),
        "loc": jnp.asarray(loc[:, None]),
        "scale": jnp.ones((3, 1)),
    }
    stays = [0, 2]
    first = initial[stays] / initial[stays].sum()
    step = transition[np.ix_(stays, stays)]
    step = step / step.sum(1, keepdims=True)
    total, expected = 0.0, np.zeros((3, 3, 2))
    for n, sequence in enumerate(x[..., 0]):
        joint = {}
        for path in product(range(2), repeat=3):
            density = first[path[0]] * step[path[0], path[1]] * step[path[1], path[2]]
            gaps = sequence - loc[stays][list(path)]
            joint[path] = density * np.exp(-0.5 * gaps**2).prod() / (2 * np.pi) ** 1.5
        total += np.log(sum(joint.values()))
        for path, density in joint.items():
            for t, state in enumerate(path):
                expected[stays[state], t, n] += density / sum(joint.values())
    actual, normaliser = component_weights(
        model,
        _update(problem),
        {"x": jnp.asarray(x)},
        problem.chunks.centres,
        jnp.ones(2),
        values,
        soft,
        1,
    )
    np.testing.assert_allclose(actual.reshape(3, 3, 2), expected, atol=1e-5)
    np.testing.assert_allclose(normaliser, total, rtol=1e-5)


def test_moves_take_away_what_is_missed_least_and_split_something_else():
    without = np.array([-9.0, -50.0, -3.0, -40.0, -30.0, -8.0])
    moves = draw_moves(np.random.default_rng(0), without, 200)
    assert len(moves) == 200
    cheapest = set(np.argsort(-without)[:CHEAPEST].tolist())
    assert {move.removed for move in moves} == cheapest
    assert all(move.split != move.removed for move in moves)
    assert {move.split for move in moves} == set(range(6))


def test_a_component_copied_over_another_leaves_distributions_that_sum_to_one():
    values = {
        "initial": np.array([0.2, 0.3, 0.5]),
        "transition": np.array([[0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]]),
        "loc": np.array([[1.0], [2.0], [4.0]]),
    }
    axes = {"initial": ((0, 0),), "transition": ((0, 0), (1, 0)), "loc": ((0, 0),)}
    copied = _copied(values, axes, Move(removed=0, split=2))
    np.testing.assert_array_equal(copied["loc"], [[4.0], [2.0], [4.0]])
    np.testing.assert_allclose(copied["initial"], np.array([0.5, 0.3, 0.5]) / 1.3)
    np.testing.assert_allclose(copied["transition"].sum(-1), 1)
    np.testing.assert_allclose(copied["transition"][0], copied["transition"][2])
    assert _copied(values, axes, THAW)["initial"].tolist() == values["initial"].tolist()
