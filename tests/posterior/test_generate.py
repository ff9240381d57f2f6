"""New data, and missing cells filled in, against the parameters by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from ppl_models import fit, generate, impute
from ppl_models.errors import InputError

ROWS, DRAWS = 4000, 4000


def _point(tree):
    return {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}


def _close(draws, mean, variance=None):
    """Mean and variance of independent draws within five standard errors."""
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - mean) < 5 * error).all()
    if variance is not None:
        squares = (draws - mean) ** 2
        error = squares.std(0) / np.sqrt(len(draws))
        assert (np.abs(squares.mean(0) - variance) < 5 * error).all()


@pytest.mark.filterwarnings("ignore:.*sequences were cut")
def test_generated_data_look_like_the_observed(built_in, trees):
    tree = trees(built_in)
    made = generate(tree, 7, seed=1, length=9)
    observed = tree["observed_data"][built_in.site]
    actual = made[built_in.site]
    assert actual.dims == observed.dims
    wanted = (7, *observed.shape[1:])
    if "position" in observed.dims:
        wanted = (7, 9, *observed.shape[2:])
    assert actual.shape == wanted
    assert (actual.dtype.kind == "f") == (built_in.data.dtype.kind == "f")
    if "feature" in actual.dims:
        np.testing.assert_array_equal(actual["feature"].values, observed["feature"].values)
    again, other = generate(tree, 7, seed=1, length=9), generate(tree, 7, seed=2, length=9)
    np.testing.assert_array_equal(again[built_in.site].values, actual.values)
    assert (other[built_in.site].values != actual.values).any()


def test_moments_of_a_gaussian_mixture(built_ins, trees):
    tree = trees(built_ins["gaussian_mixture full"])
    point = _point(tree)
    x = generate(tree, ROWS, seed=3)["x"].values
    mean = point["weights"] @ point["loc"]
    centred = point["loc"] - mean
    covariance = np.einsum("k,kij->ij", point["weights"], point["covariance"]) + np.einsum(
        "k,ki,kj->ij", point["weights"], centred, centred
    )
    _close(x, mean, np.diag(covariance))
    product = (x[:, 0] - mean[0]) * (x[:, 1] - mean[1])
    _close(product, covariance[0, 1])


@pytest.mark.parametrize(
    ("label", "site"), [("bernoulli_mixture", "probs"), ("poisson_mixture", "rate")]
)
def test_moments_of_bits_and_counts(built_ins, trees, label, site):
    tree = trees(built_ins[label])
    point = _point(tree)
    x = generate(tree, ROWS, seed=3)["x"].values
    _close(x.astype(float), point["weights"] @ point[site])
    # within clusters features are independent, between clusters they are not
    both = point["weights"] @ (point[site][:, 0] * point[site][:, 1])
    _close((x[:, 0] * x[:, 1]).astype(float), both)


def test_frequencies_of_categories(built_ins, trees):
    tree = trees(built_ins["categorical_mixture"])
    point = _point(tree)
    x = generate(tree, ROWS, seed=3)["x"].values
    proportion = point["weights"] @ point["probs"]
    indicators = np.column_stack([x[:, :1] == np.arange(2), x[:, 1:] == np.arange(3)])
    _close(indicators.astype(float), proportion)


def test_sequences_follow_the_chain_and_cuts_are_told(built_ins, trees):
    tree = trees(built_ins["markov_chain"])
    point = _point(tree)
    with pytest.warns(UserWarning, match=r"\d+ of 4000 sequences were cut at 4 positions"):
        short = generate(tree, ROWS, seed=4, length=4)["tokens"].values
    _close((short[:, :1] == np.arange(3)).astype(float), point["initial"])
    alive = (point["initial"] @ np.linalg.matrix_power(point["transition"][:, :3], 3)).sum()
    _close((short[:, -1] != 3).astype(float), alive)
    following = short[short[:, 0] == 1][:, 1]
    _close((following[:, None] == np.arange(4)).astype(float), point["transition"][1])
    after_end = short[:, 1:][short[:, :-1] == 3]
    assert (after_end == 3).all()


def test_every_generated_row_has_a_draw_of_its_own(drawn):
    x = generate(drawn, 3000, seed=0)["x"].values
    names = ("weights", "loc", "scale")
    posterior = {n: drawn["posterior"][n].values.reshape(300, 2) for n in names}
    mean = (posterior["weights"] * posterior["loc"]).sum(1)
    second = (posterior["weights"] * (posterior["loc"] ** 2 + posterior["scale"] ** 2)).sum(1)
    _close(x, mean.mean())
    _close(x**2, second.mean())


def test_at_least_one_row_and_one_draw(built_ins, trees):
    tree = trees(built_ins["gaussian_mixture full"])
    with pytest.raises(InputError, match="rows is 0"):
        generate(tree, 0, seed=0)
    with pytest.raises(InputError, match="draws is 0"):
        impute(tree, draws=0, seed=0)


def _holed(row):
    """A few rows with gaps, one of them without any cell where features are several."""
    if row.site == "tokens":
        return [["a", None, "c"], ["b", "b"], [None, "a", "a", None], [None]]
    x = row.data[:4].astype(float)
    if x.ndim == 1:
        x[1] = np.nan
        return x
    x[0, 1] = np.nan
    x[2, 0] = np.nan
    x[3] = np.nan
    return x


def test_observed_cells_stay_exactly_and_all_others_are_filled(mixture, trees):
    tree, x = trees(mixture), _holed(mixture)
    made = impute(tree, x, draws=5, seed=0)[mixture.site]
    assert made.dims == ("draw", *tree["observed_data"][mixture.site].dims)
    if mixture.site == "tokens":
        x = np.array([[0, np.nan, 2, 3, 3], [1, 1, 3, 3, 3], [np.nan, 0, 0, np.nan, 3],
                      [np.nan, 3, 3, 3, 3]])  # fmt: skip
    seen = ~np.isnan(x)
    np.testing.assert_array_equal(made.values[:, seen], np.broadcast_to(x[seen], (5, seen.sum())))
    filled = made.values[:, ~seen]
    assert np.isfinite(filled).all()
    assert (filled[0] != filled[1]).any() or mixture.data.dtype.kind != "f"
    if mixture.data.dtype.kind != "f":
        np.testing.assert_array_equal(filled, np.round(filled))
    again = impute(tree, _holed(mixture), draws=5, seed=0)[mixture.site]
    np.testing.assert_array_equal(made.values, again.values)


def test_fillings_of_a_gaussian_mixture_have_the_conditional_moments(built_ins, trees):
    """The cluster given what is seen, then the cell given cluster and what is seen."""
    tree = trees(built_ins["gaussian_mixture full"])
    point = _point(tree)
    seen = np.array([2.5, 5.2])
    x = np.column_stack([seen, np.full(2, np.nan)])
    made = impute(tree, x, draws=DRAWS, seed=5)["x"].values
    for n, value in enumerate(seen):
        logits, means, variances = [], [], []
        for k in range(2):
            loc, s = point["loc"][k], point["covariance"][k]
            logits.append(
                np.log(point["weights"][k])
                - 0.5 * np.log(s[0, 0])
                - 0.5 * (value - loc[0]) ** 2 / s[0, 0]
            )
            means.append(loc[1] + s[1, 0] / s[0, 0] * (value - loc[0]))
            variances.append(s[1, 1] - s[1, 0] ** 2 / s[0, 0])
        proportion = np.exp(logits - logsumexp(logits))
        means, variances = np.array(means), np.array(variances)
        mean = proportion @ means
        variance = proportion @ (variances + means**2) - mean**2
        _close(made[:, n, 1], mean, variance)


def test_fillings_of_bits_have_the_conditional_probability(built_ins, trees):
    tree = trees(built_ins["bernoulli_mixture"])
    point = _point(tree)
    x = np.array([[1.0, np.nan, 0.0], [0.0, np.nan, np.nan]])
    made = impute(tree, x, draws=DRAWS, seed=5)["x"].values
    for n, row in enumerate(x):
        cells = np.where(row == 1, point["probs"], 1 - point["probs"])
        weight = point["weights"] * np.where(np.isnan(row), 1, cells).prod(1)
        proportion = weight / weight.sum()
        for d in np.flatnonzero(np.isnan(row)):
            _close(made[:, n, d], proportion @ point["probs"][:, d])


def test_gaps_of_the_fitted_rows_by_default(built_ins, named):
    row = built_ins["gaussian_mixture diagonal"]
    x = row.data.copy()
    x[2, 1] = np.nan
    tree = fit(row.name, named(row, x), method="em", seed=0, predictive=0, starts=4, **row.options)
    made = impute(tree, draws=20, seed=0)["x"]
    assert made.shape == (20, *x.shape)
    assert made["feature"].values.tolist() == ["width", "height"]
    assert made.values[:, 2, 1].std() > 0
    assert (made.values != made.values[0]).any(0).sum() == 1
