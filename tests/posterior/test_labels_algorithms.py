"""ECR, Stephens and ordering: scrambled draws come back, and nothing beats them by brute force."""

from itertools import permutations as all_permutations
from itertools import product

import numpy as np
import pytest

from ppl_models.errors import InputError
from ppl_models.posterior.labels import (
    by_order,
    ecr,
    ecr_iterative,
    ecr_iterative_soft,
    ecr_soft,
    stephens,
)
from ppl_models.posterior.labels.ecr import most_frequent, soft_agreement
from ppl_models.posterior.labels.ordering import gaps
from ppl_models.posterior.labels.permutations import invert, map_assignments, permute


def scrambled(clusters, draws=60, rows=200, noise=0.15, seed=0):
    """True assignments, noisy draws of them with labels scrambled, and the scrambling undone."""
    generator = np.random.default_rng(seed)
    truth = np.append(np.arange(clusters), generator.integers(clusters, size=rows - clusters))
    other = generator.integers(clusters, size=(draws, rows))
    selected = np.where(generator.random((draws, rows)) < noise, other, truth)
    scrambling = np.argsort(generator.random((draws, clusters)), axis=1)
    return truth, selected, map_assignments(selected, scrambling), invert(scrambling)


def soft_scrambled(clusters, draws=40, rows=150, seed=0, sharpness=3.0):
    """Responsibilities ``(draw, row, cluster)`` scrambled, unscrambled, and the way back."""
    generator = np.random.default_rng(seed)
    truth = np.append(np.arange(clusters), generator.integers(clusters, size=rows - clusters))
    logits = sharpness * np.eye(clusters)[truth] + generator.normal(size=(draws, rows, clusters))
    selected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    scrambling = np.argsort(generator.random((draws, clusters)), axis=1)
    return truth, selected, permute(selected, scrambling, axis=2), invert(scrambling)


@pytest.mark.parametrize("clusters", [1, 2, 4, 10])
def test_ecr_undoes_a_scrambling(clusters):
    truth, selected, drawn, back = scrambled(clusters)
    relabelling = ecr(drawn, clusters, truth)
    np.testing.assert_array_equal(relabelling, back)
    np.testing.assert_array_equal(map_assignments(drawn, relabelling), selected)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_ecr_agrees_on_as_many_rows_as_brute_force(dtype):
    generator = np.random.default_rng(3)
    drawn = generator.integers(4, size=(30, 25)).astype(dtype)
    pivot = generator.integers(4, size=25)
    agreeing = (map_assignments(drawn, ecr(drawn, 4, pivot)) == pivot).sum(axis=1)
    for draw in range(30):
        best = max(
            (np.array(names)[drawn[draw]] == pivot).sum() for names in all_permutations(range(4))
        )
        assert agreeing[draw] == best


@pytest.mark.parametrize("clusters", [2, 5, 10])
def test_iterative_ecr_needs_no_pivot(clusters):
    truth, selected, drawn, _ = scrambled(clusters, noise=0.1)
    actual, pivot = ecr_iterative(drawn, clusters)
    relabelled = map_assignments(drawn, actual)
    # The names are free, the partition and the constancy of names are not.
    names = np.array([pivot[truth == k][0] for k in range(clusters)])
    assert len(set(names)) == clusters
    np.testing.assert_array_equal(names[truth], pivot)
    np.testing.assert_array_equal(names[selected], relabelled)


def test_iterative_ecr_ends_where_neither_step_gains():
    generator = np.random.default_rng(4)
    drawn = generator.integers(3, size=(40, 30))
    actual, pivot = ecr_iterative(drawn, 3)
    agreeing = (map_assignments(drawn, actual) == pivot).sum()
    better = map_assignments(drawn, ecr(drawn, 3, most_frequent(drawn, actual)))
    again = (better == most_frequent(drawn, actual)).sum()
    assert again == agreeing


def test_soft_ecr_of_certain_rows_is_ecr():
    generator = np.random.default_rng(5)
    drawn = generator.integers(4, size=(20, 60))
    pivot = generator.integers(4, size=60)
    certain = np.eye(4, dtype=np.float32)[drawn]
    blocks = [certain[:7], certain[7:]]
    np.testing.assert_array_equal(ecr_soft(blocks, pivot), ecr(drawn, 4, pivot))
    _, sizes = soft_agreement(blocks, pivot)
    np.testing.assert_array_equal(sizes, [np.bincount(row, minlength=4) for row in drawn])


@pytest.mark.parametrize("clusters", [2, 4, 10])
def test_soft_methods_undo_a_scrambling(clusters):
    truth, _, drawn, back = soft_scrambled(clusters)
    blocks = [drawn[:11], drawn[11:]]
    np.testing.assert_array_equal(ecr_soft(blocks, truth), back)
    start = np.tile(np.arange(clusters), (len(drawn), 1))
    for actual in (ecr_iterative_soft(blocks, start=start)[0], stephens(blocks).permutation):
        # Up to one renaming for all draws.
        np.testing.assert_array_equal(actual, back[:, invert(back[:1])[0]][:, actual[0]])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_stephens_objective_never_rises(seed, sharpness):
    _, _, drawn, _ = soft_scrambled(4, seed=seed, sharpness=sharpness)
    objective = stephens([drawn[:13], drawn[13:]]).objective
    assert len(objective) >= 2
    assert (np.diff(objective) <= 1e-9 * np.abs(objective[:-1])).all()


def divergence(drawn, permutation):
    """Stephens' objective by its definition."""
    relabelled = permute(drawn, permutation, axis=2)
    mean = relabelled.mean(axis=0)
    return (relabelled * np.log(relabelled / mean)).sum()


def test_stephens_finds_the_minimum_over_all_relabellings():
    _, _, drawn, _ = soft_scrambled(3, draws=4, rows=30, seed=2)
    relabelling = stephens([drawn])
    every = np.array(list(all_permutations(range(3))))
    best = min(
        divergence(drawn, np.array([every[0], *chosen])) for chosen in product(every, repeat=3)
    )
    assert divergence(drawn, relabelling.permutation) == pytest.approx(best)
    # q is the mean at the end, so the objective reported is that of the definition.
    assert relabelling.objective[-1] == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(
        relabelling.mean, permute(drawn, relabelling.permutation, axis=2).mean(axis=0)
    )


def test_stephens_accepts_zeros_and_float32():
    _, _, drawn, back = soft_scrambled(3, sharpness=200.0)
    assert (drawn.astype(np.float32) == 0).any()
    relabelling = stephens([drawn.astype(np.float32)])
    assert np.isfinite(relabelling.objective).all()
    np.testing.assert_array_equal(relabelling.permutation, back[:, invert(back[:1])[0]])


def test_order_sorts_and_measures_gaps():
    generator = np.random.default_rng(6)
    apart = np.array([0.0, 10.0, 20.0]) + generator.normal(size=(500, 3))
    scrambling = np.argsort(generator.random((500, 3)), axis=1)
    drawn = permute(apart, scrambling)
    actual = by_order(drawn)
    np.testing.assert_array_equal(permute(drawn, actual), apart)
    assert gaps(drawn, actual).min() > 4
    close = generator.normal(size=(500, 3))
    assert (gaps(close, by_order(close)) < 1).mean() > 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ecr(np.array([[0, 3]]), 3, np.array([0, 1])), "label 3"),
        (lambda: ecr(np.array([[0, 1]]), 3, np.array([0, -1])), "pivot"),
        (lambda: ecr(np.array([[0, 1]]), 3, np.array([0, 1, 2])), "same rows"),
        (lambda: stephens([]), "no draws"),
        (lambda: by_order(np.array([[0.0, np.nan]])), "Draw 0"),
        (lambda: by_order(np.zeros((2, 2, 2))), "one feature"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
