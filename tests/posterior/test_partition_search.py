"""The search for a partition: against all partitions, its own bookkeeping, and known truth."""

from importlib import import_module

import numpy as np
import pytest

from ppl_models.errors import InputError
from ppl_models.posterior.partition import expected_loss, point_partition
from ppl_models.posterior.partition.losses import by_size, compact, size_terms
from ppl_models.posterior.partition.state import State, allocate, merge, reassign

LOSSES = ("vi", "binder")


def all_partitions(rows):
    """Every set partition, as restricted growth strings."""
    grown = [[0]]
    for _ in range(rows - 1):
        grown = [labels + [new] for labels in grown for new in range(max(labels) + 2)]
    return np.array(grown)


def noisy_draws(rows, count, clusters, noise, seed):
    """A true partition and noisy draws of it under scrambled labels."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(clusters, size=rows)
    wrong = generator.random((count, rows)) < noise
    selected = np.where(wrong, generator.integers(clusters, size=wrong.shape), truth)
    names = np.argsort(generator.random((count, clusters)), axis=1)
    return truth, np.take_along_axis(names, selected, axis=1)


def test_partitions_are_counted_by_bell():
    assert [len(all_partitions(rows)) for rows in range(1, 8)] == [1, 2, 5, 15, 52, 203, 877]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("free", [True, False])
def test_the_search_finds_the_best_of_all_partitions(loss, free):
    generator = np.random.default_rng(0)
    for case in range(12):
        rows = int(generator.integers(2, 8))
        drawn = generator.integers(generator.integers(1, 6), size=(generator.integers(1, 25), rows))
        limit = rows if free else compact(drawn).max() + 1
        candidates = [one for one in all_partitions(rows) if one.max() < limit]
        best = min(expected_loss(one, drawn, loss) for one in candidates)
        partition = point_partition(
            drawn, loss=loss, max_clusters=rows if free else None, seed=case
        )
        assert partition.expected_loss == pytest.approx(best, abs=1e-12)
        assert expected_loss(partition.labels, drawn, loss) == pytest.approx(best, abs=1e-12)
        assert partition.clusters == len(np.unique(partition.labels))


@pytest.mark.parametrize("loss", LOSSES)
def test_prices_and_values_are_those_of_the_loss(loss):
    drawn = compact(np.random.default_rng(1).integers(4, size=(20, 15)))
    state = State(drawn, size_terms(loss, 15), max_clusters=15)
    allocate(state, np.arange(15))
    assert state.value() == pytest.approx(expected_loss(state.labels, drawn, loss))
    for row in range(15):
        price, _ = state.price(row)
        for cluster in np.flatnonzero(state.sizes):
            moved = state.labels.copy()
            moved[row] = cluster
            change = expected_loss(moved, drawn, loss) - state.value()
            assert price[cluster] - price[state.labels[row]] == pytest.approx(change, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_moves_keep_the_tables_and_never_raise_the_loss(loss):
    _, drawn = noisy_draws(60, 30, 4, 0.4, seed=2)
    drawn, generator = compact(drawn), np.random.default_rng(2)
    state = State(drawn, size_terms(loss, 60), max_clusters=60)
    state.fill(generator.integers(12, size=60))
    value = state.value()
    for _ in range(4):
        reassign(state, generator.permutation(60))
        merge(state)
        assert state.value() <= value + 1e-12
        value = state.value()
        assert value == pytest.approx(expected_loss(state.labels, drawn, loss))
        fresh = State(drawn, state.terms, max_clusters=60)
        fresh.fill(state.labels)
        width = min(len(fresh.sizes), len(state.sizes))
        np.testing.assert_array_equal(fresh.tables[:, :width], state.tables[:, :width])
        np.testing.assert_allclose(fresh.table_gains[:, :width], state.table_gains[:, :width])


def test_a_gainful_merge_is_found():
    truth, drawn = noisy_draws(40, 20, 2, 0.0, seed=3)
    state = State(compact(drawn), size_terms("vi", 40), max_clusters=40)
    state.fill(2 * truth + np.arange(40) % 2)
    assert merge(state) and merge(state) and not merge(state)
    np.testing.assert_array_equal(by_size(state.labels), by_size(truth))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_true_partition_is_recovered_through_a_subsample(loss, monkeypatch):
    truth, drawn = noisy_draws(300, 60, 6, 0.2, seed=4)
    module = import_module("ppl_models.posterior.partition.search")
    monkeypatch.setattr(module, "ROWS_USED", 90)
    monkeypatch.setattr(module, "DRAWS_USED", 40)
    partition = point_partition(drawn, loss=loss, starts=4, seed=0)
    np.testing.assert_array_equal(partition.labels, by_size(truth))
    assert partition.expected_loss == pytest.approx(expected_loss(truth, drawn, loss))
    assert partition.clusters == 6
    assert 1 <= partition.starts_agreeing <= len(partition.start_losses) == 5


def test_the_search_beats_every_draw():
    _, drawn = noisy_draws(80, 50, 5, 0.5, seed=5)
    partition = point_partition(drawn, seed=0)
    assert partition.expected_loss <= min(expected_loss(one, drawn) for one in drawn)


def test_the_limit_on_clusters_is_kept_and_the_seed_decides():
    _, drawn = noisy_draws(50, 40, 5, 0.1, seed=6)
    partition = point_partition(drawn, max_clusters=3, seed=1)
    assert partition.clusters <= 3
    again = point_partition(drawn, max_clusters=3, seed=1)
    np.testing.assert_array_equal(partition.labels, again.labels)
    assert point_partition(drawn, max_clusters=1, seed=1).clusters == 1


def test_one_row_and_one_draw():
    assert point_partition(np.array([[4]]), seed=0).labels.tolist() == [0]
    partition = point_partition(np.array([[4, 2, 4]]), seed=0)
    assert partition.labels.tolist() == [0, 1, 0]
    assert partition.expected_loss == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"starts": 0}, "at least 1"),
        ({"max_clusters": 0}, "at least 1"),
        ({"loss": "omari"}, "'vi' or 'binder'"),
    ],
)
def test_wrong_input_is_named(arguments, words):
    with pytest.raises(InputError, match=words):
        point_partition(np.array([[0, 1]]), seed=0, **arguments)
