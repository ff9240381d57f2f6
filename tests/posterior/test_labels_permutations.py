"""Permutations against a walk over all K! of them."""

from itertools import permutations as all_permutations

import numpy as np
import pytest

from ppl_models import memory
from ppl_models.posterior.labels.permutations import (
    best_permutations,
    cheapest_changes,
    compose,
    invert,
    map_assignments,
    permute,
    total_cost,
)


def every_cost(cost):
    """Costs of all permutations of one draw, with the permutations."""
    clusters = len(cost)
    every = np.array(list(all_permutations(range(clusters))))
    return every, cost[np.arange(clusters), every].sum(axis=1)


@pytest.mark.parametrize("clusters", [1, 2, 3, 5])
def test_best_permutation_is_the_best_of_all(clusters):
    cost = np.random.default_rng(clusters).normal(size=(40, clusters, clusters))
    permutations = best_permutations(cost)
    for draw in range(40):
        every, costs = every_cost(cost[draw])
        np.testing.assert_array_equal(permutations[draw], every[costs.argmin()])
        assert total_cost(cost, permutations)[draw] == pytest.approx(costs.min())


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_cheapest_change_is_the_second_best_of_all(clusters):
    cost = np.random.default_rng(clusters).normal(size=(30, clusters, clusters))
    permutations = best_permutations(cost)
    changes = cheapest_changes(cost, permutations)
    for draw in range(30):
        every, costs = every_cost(cost[draw])
        extra = costs - costs.min()
        second = np.sort(extra)[1]
        assert changes[draw].min() == pytest.approx(second)
        for cluster in range(clusters):
            moved = every[:, cluster] != permutations[draw, cluster]
            assert changes[draw, cluster] == pytest.approx(extra[moved].min())


def test_one_cluster_leaves_no_choice():
    assert np.isinf(cheapest_changes(np.ones((2, 1, 1)), np.zeros((2, 1), int))).all()


def test_draws_in_blocks_give_the_same_changes(monkeypatch):
    cost = np.random.default_rng(0).normal(size=(25, 4, 4))
    permutations = best_permutations(cost)
    complete = cheapest_changes(cost, permutations)
    monkeypatch.setattr(memory, "LABEL_BYTES", 2000)
    np.testing.assert_array_equal(cheapest_changes(cost, permutations), complete)


def test_composition_inverse_and_assignments():
    generator = np.random.default_rng(1)
    first, second = (np.argsort(generator.random((50, 6)), axis=1) for _ in range(2))
    values = generator.normal(size=(50, 3, 6, 2))
    both = permute(permute(values, first, axis=2), second, axis=2)
    np.testing.assert_array_equal(permute(values, compose(first, second), axis=2), both)
    there_and_back = permute(permute(values, first, axis=2), invert(first), axis=2)
    np.testing.assert_array_equal(there_and_back, values)
    # A row's component is the same one before and after: its value does not change.
    loc, rows = values[:, 0, :, 0], generator.integers(6, size=(50, 9))
    before = np.take_along_axis(loc, rows, axis=1)
    after = np.take_along_axis(permute(loc, first), map_assignments(rows, first), axis=1)
    np.testing.assert_array_equal(after, before)
