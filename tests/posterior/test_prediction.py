"""Density and assignment of rows, fitted and new, against Bayes' rule by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

from ppl_models import log_density, memory, predict
from ppl_models.errors import InputError

NEW = np.array([[0.3, 1.2], [5.5, -2.2], [2.0, 0.0]])


def _logits(tree, x):
    """``log π_k p(x_n | k)`` of a full Gaussian mixture's point, missing cells left out."""
    point = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    table = np.zeros((len(x), 2))
    for n, row in enumerate(x):
        seen = ~np.isnan(row)
        for k in range(2):
            loc, covariance = point["loc"][k], point["covariance"][k]
            table[n, k] = np.log(point["weights"][k]) + stats.multivariate_normal.logpdf(
                row[seen], loc[seen], covariance[np.ix_(seen, seen)]
            )
    return table


@pytest.fixture(scope="module")
def full(built_ins, trees):
    return trees(built_ins["gaussian_mixture full"])


@pytest.mark.parametrize("gap", [False, True])
def test_new_rows_of_a_full_gaussian_mixture(full, gap):
    x = NEW.copy()
    if gap:
        x[1, 0] = np.nan
    logits = _logits(full, x)
    density, proportion = log_density(full, x), predict(full, x)
    np.testing.assert_allclose(density.values, logsumexp(logits, axis=1), rtol=1e-9)
    expected = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    np.testing.assert_allclose(proportion.values, expected, rtol=1e-7)
    assert density.dims == ("row",)
    assert proportion.dims == ("row", "cluster")


def test_fitted_rows_by_default(built_in, trees):
    tree = trees(built_in)
    density = log_density(tree)
    stored = tree["log_likelihood"][built_in.site]
    np.testing.assert_allclose(density.values, stored.values[0, 0], rtol=1e-12)
    plate = density.dims[0]
    np.testing.assert_array_equal(density[plate].values, tree["observed_data"][plate].values)
    np.testing.assert_allclose(log_density(tree, by_draw=True).values, stored.values, rtol=1e-12)


def test_one_new_row_alone_is_what_it_is_among_others(built_in, trees):
    """Priors may look at the data's scale, but a row's density may not look at other rows."""
    tree = trees(built_in)
    complete = log_density(tree).values
    alone = built_in.to_fit[3:4]
    np.testing.assert_allclose(log_density(tree, alone).values, complete[3:4], rtol=1e-10)
    if "clusters" in built_in.arguments:
        proportion = predict(tree, alone)
        assert proportion.shape == (1, 2)
        np.testing.assert_allclose(proportion.values.sum(), 1, rtol=1e-12)


def test_assignment_probabilities_of_every_mixture(mixture, trees):
    tree = trees(mixture)
    proportion = predict(tree)
    np.testing.assert_allclose(proportion.values.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(
        proportion.values, tree["responsibilities/responsibilities"].values, rtol=1e-9
    )


def test_draws_are_averaged_as_densities(drawn):
    x = np.array([-1.0, 2.0, 8.0])
    by_draw = log_density(drawn, x, by_draw=True)
    assert by_draw.dims == ("chain", "draw", "row")
    posterior = {n: v.values[..., None, :] for n, v in drawn["posterior"].data_vars.items()}
    parts = stats.norm(posterior["loc"], posterior["scale"]).logpdf(x[:, None])
    logits = np.log(posterior["weights"]) + parts
    np.testing.assert_allclose(by_draw.values, logsumexp(logits, axis=-1), rtol=1e-9)
    mean = np.log(np.exp(logsumexp(logits, axis=-1)).mean((0, 1)))
    np.testing.assert_allclose(log_density(drawn, x).values, mean, rtol=1e-9)
    proportion = np.exp(logits - logsumexp(logits, axis=-1, keepdims=True))
    np.testing.assert_allclose(predict(drawn, x).values, proportion.mean((0, 1)), rtol=1e-9)
    every = predict(drawn, x, by_draw=True)
    assert every.dims == ("chain", "draw", "row", "cluster")
    np.testing.assert_allclose(every.values, proportion, rtol=1e-7)
    assert log_density(drawn, x, by_draw=True, draws=15).sizes["draw"] == 15


def test_memory_is_bounded_by_blocks_that_do_not_show(drawn, monkeypatch):
    x = np.linspace(-4, 9, 8)
    complete, proportion = log_density(drawn, x).values, predict(drawn, x).values
    monkeypatch.setattr(memory, "DENSITY_ROWS", 4)
    monkeypatch.setattr(memory, "DENSITY_NUMBERS", 2 * 4 * 100)
    np.testing.assert_allclose(log_density(drawn, x).values, complete, rtol=1e-12)
    np.testing.assert_allclose(predict(drawn, x).values, proportion, rtol=1e-12)


def test_columns_are_found_by_name(full):
    frame = pd.DataFrame(NEW, columns=["width", "height"], index=["p", "q", "r"])
    density = log_density(full, frame[["height", "width"]])
    np.testing.assert_allclose(density.values, log_density(full, NEW).values, rtol=1e-12)
    assert density["row"].values.tolist() == ["p", "q", "r"]


REFUSED = [
    ("gaussian_mixture full", pd.DataFrame(NEW, columns=["width", "depth"]), "lacks the column"),
    ("gaussian_mixture full", NEW[:, :1], "has 1 columns: give 2"),
    ("gaussian_mixture full", [[0.0, np.inf]], "row 0: drop the row"),
    ("gaussian_mixture full", NEW[:0], "has no rows"),
    ("bernoulli_mixture", [[0, 1, 2]], "bits are 0 or 1"),
    ("categorical_mixture", [[0, 7]], "7"),
    ("poisson_mixture", [[1, -1]], "counts are whole numbers"),
    ("markov_chain", ["abz"], "'z'"),
    ("markov_chain", [""], "empty"),
]


@pytest.mark.parametrize(
    ("label", "data", "sentence"), REFUSED, ids=[f"{row[0]}, {row[2]}" for row in REFUSED]
)
def test_rows_that_do_not_fit_are_refused(built_ins, trees, label, data, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        log_density(trees(built_ins[label]), data)
    assert "\n" not in str(caught.value)


def test_nothing_to_predict_where_nothing_is_assigned(built_ins, trees):
    with pytest.raises(
        InputError, match="markov_chain assigns rows to no clusters.*use log_density"
    ):
        predict(trees(built_ins["markov_chain"]))


def test_longer_sequences_than_the_fitted_ones(built_ins, trees):
    tree = trees(built_ins["markov_chain"])
    density = log_density(tree, ["abcabcabcabc", "b"]).values
    initial, transition = (
        np.log(tree["posterior"][n].values[0, 0]) for n in ("initial", "transition")
    )
    codes = [0, 1, 2] * 4 + [3]
    expected = initial[0] + sum(transition[a, b] for a, b in zip(codes, codes[1:], strict=False))
    np.testing.assert_allclose(density, [expected, initial[1] + transition[1, 3]], rtol=1e-10)
