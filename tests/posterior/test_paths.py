"""Hidden paths read off fits: probabilities, best and drawn paths, and what comes after."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ppl_models import best_paths, draw_paths, forecast, predict, state_probabilities
from ppl_models.errors import InputError, UnsupportedError

LABEL = "hidden_markov stationary"
DRAWS = 2000


@pytest.fixture(scope="module")
def tree(built_ins, trees):
    """A point: two states of counts, four sequences of five steps."""
    return trees(built_ins[LABEL])


def _point(tree):
    return {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}


def _every_path(tree, row):
    """All paths of one sequence of counts and their posterior probabilities."""
    point = _point(tree)
    paths = np.array(list(product(range(2), repeat=len(row))))
    joint = np.log(point["initial"][paths[:, 0]])
    joint = joint + np.log(point["transition"][paths[:, :-1], paths[:, 1:]]).sum(1)
    joint = joint + stats.poisson.logpmf(row, point["rate"][paths, 0]).sum(1)
    proportion = np.exp(joint - joint.max())
    return paths, proportion / proportion.sum()


def test_probabilities_are_those_of_all_paths(tree, built_ins):
    data = built_ins[LABEL].data[..., 0]
    probabilities = state_probabilities(tree)
    assert probabilities.dims == ("sequence", "position", "state")
    for n, row in enumerate(data):
        paths, proportion = _every_path(tree, row)
        np.testing.assert_allclose(probabilities[n, :, 1], proportion @ paths, rtol=1e-9)
    by_draw = state_probabilities(tree, by_draw=True)
    assert by_draw.dims == ("chain", "draw", "sequence", "position", "state")
    np.testing.assert_allclose(by_draw[0, 0], probabilities, rtol=1e-12)


def test_best_path_is_the_best_of_all(tree, built_ins):
    actual = best_paths(tree)
    for n, row in enumerate(built_ins[LABEL].data[..., 0]):
        paths, proportion = _every_path(tree, row)
        np.testing.assert_array_equal(actual[n], paths[proportion.argmax()])


def test_drawn_paths_are_as_frequent_as_they_are_probable(tree, built_ins):
    paths = draw_paths(tree, draws=DRAWS, seed=0)
    assert paths.dims == ("draw", "sequence", "position")
    again = draw_paths(tree, draws=DRAWS, seed=0)
    np.testing.assert_array_equal(paths.values, again.values)
    assert (paths.values != draw_paths(tree, draws=DRAWS, seed=1).values).any()
    for n, row in enumerate(built_ins[LABEL].data[..., 0]):
        _, proportion = _every_path(tree, row)
        counts = np.bincount(paths[:, n].values @ 2 ** np.arange(5)[::-1], minlength=32)
        error = np.sqrt(proportion * (1 - proportion) / DRAWS)
        assert (np.abs(counts / DRAWS - proportion) < 5 * error + 2 / DRAWS).all()


def test_forecasts_go_on_from_the_last_state(tree, built_ins):
    actual, point = forecast(tree, 3, draws=DRAWS, seed=2), _point(tree)
    assert actual["x"].dims == ("draw", "sequence", "ahead", "feature")
    assert actual["ahead"].values.tolist() == [1, 2, 3]
    for n, row in enumerate(built_ins[LABEL].data[..., 0]):
        paths, proportion = _every_path(tree, row)
        state = np.array([proportion[paths[:, -1] == k].sum() for k in range(2)])
        for step in range(3):
            state = state @ point["transition"]
            cells = actual["x"].values[:, n, step, 0]
            error = cells.std() / np.sqrt(DRAWS)
            assert abs(cells.mean() - state @ point["rate"][:, 0]) < 5 * error
            share_of_one = (actual["state"].values[:, n, step] == 1).mean()
            assert abs(share_of_one - state[1]) < 5 * np.sqrt(0.25 / DRAWS)


def test_new_sequences_of_any_length(tree):
    """After the end: NaN, and -1; a sequence is the same among others."""
    longer = [[0, 9, 8, 1, 0, 0, 7], [8, 9]]
    proportions, path = state_probabilities(tree, longer), best_paths(tree, longer)
    assert proportions.shape == (2, 7, 2) and path.shape == (2, 7)
    assert np.isnan(proportions[1, 2:]).all() and not np.isnan(proportions[0]).any()
    assert (path[1, 2:] == -1).all() and (path[1, :2] >= 0).all()
    drawn = draw_paths(tree, longer, draws=4, seed=0)
    assert (drawn[:, 1, 2:] == -1).all() and (drawn[:, 0] >= 0).all()
    paths, proportion = _every_path(tree, np.array([8, 9]))
    np.testing.assert_allclose(proportions[1, :2, 1], proportion @ paths, rtol=1e-9)


def test_what_has_no_paths_is_refused(tree, built_ins, trees):
    with pytest.raises(InputError, match="poisson_mixture has no hidden paths: use predict"):
        state_probabilities(trees(built_ins["poisson_mixture univariate"]))
    with pytest.raises(InputError, match="markov_chain has no hidden paths: use log_density"):
        best_paths(trees(built_ins["markov_chain"]))
    with pytest.raises(InputError, match="nothing to predict: use state_prob"):
        predict(tree)
    with pytest.raises(InputError, match="draws is 0: give a whole number from 1 up"):
        draw_paths(tree, draws=0, seed=0)
    with pytest.raises(InputError, match="steps is 0: give a whole number from 1 up"):
        forecast(tree, 0, seed=0)
    with pytest.raises(UnsupportedError, match="have ended, so that nothing follows .* prefix="):
        forecast(trees(built_ins["hidden_token_chain"]), 2, seed=0)


def test_a_gap_within_a_sequence_is_known_by_its_neighbours(tree):
    proportions, point = state_probabilities(tree, [[0, np.nan, 9]]), _point(tree)
    paths, _ = _every_path(tree, np.array([0, 0, 9]))
    joint = point["initial"][paths[:, 0]] * point["transition"][paths[:, :-1], paths[:, 1:]].prod(1)
    joint = joint * stats.poisson.pmf([0, 9], point["rate"][paths[:, ::2], 0]).prod(1)
    np.testing.assert_allclose(proportions[0, :, 1], joint @ paths / joint.sum(), rtol=1e-9)
