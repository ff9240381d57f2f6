"""Losses between partitions: by their definitions, as metrics, against scikit-learn."""

from importlib import import_module

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.posterior.partition import (
    credible_ball,
    distances,
    expected_loss,
    similarity,
    soft_similarity,
)
from ppl_models.posterior.partition.losses import by_size, compact

LOSSES = ("vi", "binder")


def draws(count=30, rows=25, clusters=5, seed=0):
    """Random partitions."""
    return np.random.default_rng(seed).integers(clusters, size=(count, rows))


def test_variation_of_information_against_scikit_learn():
    every = draws()
    for one, actual in zip(every, distances(every[0], every), strict=True):
        entropies = mutual_info_score(one, one) + mutual_info_score(every[0], every[0])
        nats = entropies - 2 * mutual_info_score(one, every[0])
        assert actual == pytest.approx(max(nats, 0) / np.log(2), abs=1e-12)


def test_binder_counts_pairs_that_disagree():
    every = draws()
    for one, actual in zip(every, distances(every[0], every, loss="binder"), strict=True):
        confusion = pair_confusion_matrix(every[0], one)
        assert actual == pytest.approx((confusion[0, 1] + confusion[1, 0]) / 25**2)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_metrics_of_partitions(loss):
    every = draws(rows=8, clusters=3)
    table = np.array([distances(one, every, loss=loss) for one in every])
    np.testing.assert_allclose(table, table.T, atol=1e-12)
    for middle in range(len(every)):
        through = table[:, [middle]] + table[[middle]]
        assert (table <= through + 1e-12).all()
    same = (similarity(every[:1]) == similarity(every[1:2])).all()
    assert not same and table[0, 1] > 0
    renamed = np.array([7, -2, 3])[every]
    np.testing.assert_allclose(distances(every[0], renamed, loss=loss), table[0], atol=1e-12)


def test_expected_binder_is_the_distance_from_the_similarity():
    every = draws(count=50)
    pairs = similarity(every, dtype=np.float64)
    together = similarity(every[:1], dtype=np.float64)
    # |c - p| summed: for an indicator its expectation is the probability of disagreement.
    expected = np.abs(together - pairs).mean()
    assert expected_loss(every[0], every, "binder") == pytest.approx(expected)


def test_similarity_by_its_definition_in_blocks_and_bands(monkeypatch):
    every = draws(count=37, rows=30)
    brute = (every[:, :, None] == every[:, None, :]).mean(axis=0)
    module = import_module("ppl_models.posterior.partition.similarity")
    monkeypatch.setattr(module, "BAND", 7)
    monkeypatch.setattr(memory, "LABEL_BYTES", 3000)
    actual = similarity(every)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, brute, atol=1e-7)
    np.testing.assert_array_equal(similarity(iter([every[:10], every[10:]])), actual)


def test_soft_similarity_is_the_expectation_of_drawn_ones():
    responsibilities = np.random.default_rng(0).dirichlet(np.ones(3), size=(6, 9))
    similarity = soft_similarity([responsibilities[:2], responsibilities[2:]], dtype=np.float64)
    for one in range(9):
        for other in range(9):
            pair = (responsibilities[:, one] * responsibilities[:, other]).sum(axis=-1).mean()
            assert similarity[one, other] == pytest.approx(1 if one == other else pair)


def test_labels_may_be_any_integers():
    every = draws(count=5)
    wild = np.array([-7, 10**12, 3, 0, -(10**6)])[every]
    np.testing.assert_array_equal(similarity(wild), similarity(every))
    actual = compact(wild)
    for one in actual:
        np.testing.assert_array_equal(np.unique(one), np.arange(one.max() + 1))


def test_labels_by_size():
    actual = by_size(np.array([5, 5, 1, 1, 1, 9]))
    np.testing.assert_array_equal(actual, [1, 1, 0, 0, 0, 2])


@pytest.mark.parametrize("loss", LOSSES)
def test_ball_holds_the_probability_and_no_more(loss):
    every = draws(count=200, rows=12, clusters=3)
    ball = credible_ball(every[0], every, loss=loss, probability=0.9)
    away = distances(every[0], every, loss=loss)
    assert (away <= ball.radius + 1e-12).mean() == ball.probability >= 0.9
    assert (away < ball.radius - 1e-12).mean() < 0.9
    inside = every[away <= ball.radius + 1e-12]
    counts = [len(np.unique(one)) for one in inside]
    assert ball.fewest.max() + 1 == min(counts)
    assert ball.most.max() + 1 == max(counts)
    assert distances(every[0], ball.farthest[None], loss=loss)[0] == pytest.approx(ball.radius)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expected_loss(np.zeros(3, int), draws()), "same rows"),
        (lambda: expected_loss(np.zeros(25, int), draws(), "rand"), "'vi' or 'binder'"),
        (lambda: similarity(np.zeros((3, 4))), "integers"),
        (lambda: similarity(iter([])), "no draws"),
        (lambda: credible_ball(draws()[0], draws(), probability=95), "in \\(0, 1\\]"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
