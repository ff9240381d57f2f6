"""Predictions against data, for every kind of data; and the path of point methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from scipy import stats

from ppl_models.errors import InputError
from ppl_models.inference.objective import (
    DP_MEANS_COST,
    EVIDENCE_BOUND,
    LOG_POSTERIOR,
    Objective,
)
from ppl_models.plots import choose_plots, plot_path, plot_predictive
from ppl_models.plots.drawing.predictive.counts import bin_counts, value_edges
from ppl_models.plots.drawing.predictive.density import windowed_density
from ppl_models.plots.drawing.predictive.tokens import sequence_lengths, token_frequencies
from ppl_models.plots.drawing.reading import observed
from ppl_models.posterior.result.schema import facts_of


def heights(axes: object) -> np.ndarray:
    return np.array([bar.get_height() for bar in axes.patches])


def intervals(axes: object, order: int) -> np.ndarray:
    """Lower and upper ends of the intervals drawn as the given collection."""
    lines = [actual for actual in axes.collections if isinstance(actual, LineCollection)][order]
    return np.array([segment[:, 1] for segment in lines.get_segments()])


def test_continuous_features_show_data_draws_and_prior(fits):
    tree = fits.gaussian_fit(features=3)
    picture = plot_predictive(tree, draws=12)
    assert dict(picture.viz["plot"].sizes) == {"feature": 3}
    axes = picture.viz["plot"].isel(feature=1).item()
    assert axes.get_xlabel() == "length 1"
    labels = axes.get_legend_handles_labels()[1]
    assert set(labels) == {"posterior predictive", "prior predictive", "data"}
    assert len(axes.collections[0].get_segments()) == 12


def test_a_window_of_a_wide_density_holds_its_share_of_the_mass():
    values = np.random.default_rng(0).normal(0.0, 50.0, 20_000)
    grid, density = windowed_density(values, -5.0, 5.0)
    np.testing.assert_allclose(density[50:150], stats.norm(0, 50).pdf(grid[50:150]), rtol=0.2)
    proportion = np.trapezoid(density, grid)
    assert proportion == pytest.approx(np.mean(np.abs(values) <= 5.0), rel=0.05)


def test_a_window_without_values_has_no_density():
    assert windowed_density(np.array([9.0, 9.5]), 0.0, 1.0)[1].max() == 0.0


def test_bits_show_shares_of_ones_with_intervals(fits):
    tree = fits.count_fit("bernoulli", features=5)
    tree["observed_data"]["x"].values[:30, 0] = np.nan
    axes = plot_predictive(tree).viz["plot"].item()
    np.testing.assert_allclose(heights(axes), np.nanmean(tree["observed_data"]["x"], axis=0))
    drawn = tree["posterior_predictive"]["x"].mean("row").values[0]
    expected = np.quantile(drawn, [0.03, 0.97], axis=0).T
    np.testing.assert_allclose(intervals(axes, 0), expected)


def test_levels_show_bars_with_the_names_of_levels(fits):
    tree = fits.categorical_fit(levels=(2, 3))
    picture = plot_predictive(tree)
    axes = picture.viz["plot"].sel(feature="B").item()
    counts = np.bincount(tree["observed_data"]["x"].values[:, 1].astype(int), minlength=3)
    np.testing.assert_array_equal(heights(axes), counts)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]


def test_a_missing_level_is_not_counted(fits):
    tree = fits.categorical_fit(levels=(2, 3))
    tree["observed_data"]["x"].values[:50, 1] = -1
    assert np.isnan(observed(tree).values[:50, 1]).all()
    axes = plot_predictive(tree).viz["plot"].sel(feature="B").item()
    assert heights(axes).sum() == 100
    assert intervals(axes, 0)[:, 1].sum() < 150  # predictions are scaled to the rows present


def test_counts_show_a_rootogram(fits):
    tree = fits.count_fit("poisson", features=2)
    axes = plot_predictive(tree).viz["plot"].isel(feature=0).item()
    values = tree["observed_data"]["x"].values[:, 0].astype(int)
    shown = heights(axes)
    np.testing.assert_array_equal(shown[: values.max() + 1], np.bincount(values))
    assert shown.sum() == len(values)
    assert axes.get_yscale() == "function"
    assert axes.transData.transform((0, 4))[1] - axes.transData.transform((0, 0))[
        1
    ] == pytest.approx(
        2 * (axes.transData.transform((0, 1))[1] - axes.transData.transform((0, 0))[1])
    )


def test_large_counts_are_binned():
    values = np.array([0.0, 250.0, 900.0])
    edges = value_edges(values, {}, None)
    assert len(edges) <= 43
    assert bin_counts(values, edges).sum() == 3


def test_tokens_show_lengths_and_frequencies(fits):
    tree = fits.markov_fit()
    picture = plot_predictive(tree)
    names = fits.trees.NAMES
    lengths, tokens = (picture.viz["plot"].sel(panel=p).item() for p in ("lengths", "tokens"))
    expected = np.bincount([len(name) for name in names], minlength=7) / len(names)
    np.testing.assert_allclose(heights(lengths)[:7], expected)
    letters = "".join(names)
    for label, height in zip(tokens.get_xticklabels(), heights(tokens), strict=True):
        assert height == pytest.approx(letters.count(label.get_text()) / len(letters))


def test_tokens_after_the_end_are_not_counted():
    codes = np.array([[0, 1, 2, 0], [2, 0, 0, 0]])
    assert sequence_lengths(codes, 2).tolist() == [2, 0]
    assert token_frequencies(codes, 2).tolist() == [0.5, 0.5]


def test_univariate_data_and_a_plate_of_another_name_are_read(fits):
    tree = fits.gaussian_fit(covariance="univariate")
    tree = fits.with_unit(tree, "galaxy")
    assert observed(tree).dims == ("row",)
    assert plot_predictive(tree).viz["plot"].sizes["feature"] == 1


def test_predictions_are_needed(fits):
    tree = fits.gaussian_fit().drop_nodes(["posterior_predictive", "prior_predictive"])
    with pytest.raises(InputError, match="fit with predictive=100"):
        plot_predictive(tree)
    with pytest.raises(InputError, match="no feature 'nose'"):
        plot_predictive(fits.gaussian_fit(), features=["nose"])


def test_a_path_has_a_line_a_start_and_the_kept_one_is_dark(fits):
    tree = fits.as_point(fits.gaussian_fit(), starts=5)
    axes = plot_path(tree).viz["plot"].sel(panel="objective").item()
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(lines) == 5
    (dark,) = [line for line in lines if line.get_linewidth() > 1.7]
    np.testing.assert_array_equal(dark.get_ydata(), tree["starts"]["objective"].values[0])
    low, high = axes.get_ylim()
    ends = [row[np.isfinite(row)][-1] for row in tree["starts"]["objective"].values]
    assert low < min(ends) and max(ends) < high


def test_centres_walk_from_their_start_to_their_number(fits):
    tree = fits.as_point(fits.gaussian_fit(features=3))
    axes = (
        plot_path(tree, features=["length 2", "length 0"]).viz["plot"].sel(panel="centres").item()
    )
    loc = tree["path"]["loc"].sel(feature=["length 2", "length 0"])
    for k in range(3):
        way = loc.isel(cluster=k).transpose("iteration", "feature").values
        lines = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert any(np.allclose(line.get_xydata(), way) for line in lines)
        numbers = {text.get_text(): text.get_position() for text in axes.texts}
        np.testing.assert_allclose(numbers[str(k)], way[-1])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("length 2", "length 0")


@pytest.mark.parametrize("features", [2, 3])
def test_the_means_of_hidden_states_move_as_centres_do(fits, features):
    tree = fits.as_point(fits.gaussian_fit(features=features, covariance="diagonal"))
    for name in ("posterior", "path"):
        tree[name] = tree[name].to_dataset().rename(cluster="state")
    axes = plot_path(tree).viz["plot"].sel(panel="centres").item()
    assert {"0", "1", "2"} <= {text.get_text() for text in axes.texts}


OBJECTIVES = [
    (LOG_POSTERIOR, "higher"), (EVIDENCE_BOUND, "higher"), (DP_MEANS_COST, "lower"),
    (Objective("free energy", "minimise"), "lower"),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "better"), OBJECTIVES, ids=lambda value: str(value))
def test_an_objective_has_the_name_and_direction_that_the_fit_states(fits, objective, better):
    tree = fits.as_point(fits.gaussian_fit(covariance="spherical", rows=60, draws=8))
    tree = fits.trees.with_facts(tree, replace(facts_of(tree), objective=objective))
    axes = plot_path(tree).viz["plot"].sel(panel="objective").item()
    assert axes.get_ylabel() == objective.name
    assert any(f"{better} is better" in text.get_text() for text in axes.texts)


def test_kmeans_shows_its_sum_of_squares_falling(fits):
    tree = fits.as_kmeans(fits.gaussian_fit(covariance="spherical"))
    axes = plot_path(tree).viz["plot"].sel(panel="objective").item()
    assert axes.get_ylabel() == "within-cluster sum of squares"
    for line in axes.lines:
        values = line.get_ydata()[np.isfinite(line.get_ydata())]
        assert (values > 0).all() and (np.diff(values) <= 0).all()


def test_without_centres_only_the_objective_is_shown(fits):
    picture = plot_path(fits.as_point(fits.count_fit("bernoulli")))
    assert picture.viz["plot"].sizes["panel"] == 1


def test_a_path_needs_starts(fits):
    with pytest.raises(InputError, match="'starts'"):
        plot_path(fits.gaussian_fit())


def test_chains_that_started_without_em_have_no_path(fits):
    tree = fits.gaussian_fit(rows=60, draws=20)
    tree["starts"] = xr.DataTree(xr.Dataset({"chain_loc": (("chain",), np.zeros(4))}))
    assert "path" not in [picture.name for picture in choose_plots(tree)]
    with pytest.raises(InputError, match="did not start from an optimisation"):
        plot_path(tree)
