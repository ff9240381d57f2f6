"""Profiles, prototypes, images and transitions show the right numbers in the right places."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models.errors import InputError
from ppl_models.plots import (
    plot_images,
    plot_profiles,
    plot_prototypes,
    plot_transitions,
    png,
)
from ppl_models.plots.images import outline_segments
from ppl_models.plots.transitions import labelled_parameters, transition_table
from ppl_models.posterior.result.schema import facts_of


def test_dots_are_means_and_lines_are_intervals(fits):
    tree = fits.count_fit("bernoulli", features=5)
    picture = plot_profiles(tree, probability=0.9)
    axes = picture.viz["plot"].item()
    draws = tree["posterior"]["probs"].stack(sample=("chain", "draw"))
    for k in range(3):
        mean = draws.sel(cluster=k).mean("sample").values
        np.testing.assert_allclose(axes.lines[k].get_ydata(), mean)
        segments = picture.get_viz("dots", "summary", cluster=k).get_segments()
        expected = draws.sel(cluster=k).quantile([0.05, 0.95], "sample").values.T
        np.testing.assert_allclose([segment[:, 1] for segment in segments], expected)
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"item {d}" for d in range(5)]


def test_many_features_become_a_heat_map_of_means(fits):
    tree = fits.count_fit("poisson", features=40, draws=20)
    axes = plot_profiles(tree).viz["plot"].item()
    expected = tree["posterior"]["rate"].mean(["chain", "draw"])
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected)
    weights = tree["posterior"]["weights"].mean(["chain", "draw"]).values
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"{k} ({weight:.0%})" for k, weight in enumerate(weights)]


def test_levels_of_a_feature_stand_together(fits):
    axes = plot_profiles(fits.categorical_fit(levels=(2, 3, 2)), kind="heat").viz["plot"].item()
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "A=1", "A=2", "B=1", "B=2", "B=3", "C=1", "C=2",
    ]  # fmt: skip
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5, 4.5]
    assert axes.images[0].norm.vmax == 1.0


def test_gaussian_fits_have_no_profiles(fits):
    with pytest.raises(InputError, match="Use plot_clusters"):
        plot_profiles(fits.gaussian_fit())


def test_a_prototype_is_the_mean_image_titled_with_the_weight(fits):
    tree = fits.count_fit("bernoulli", features=12, clusters=4, draws=40)
    picture = plot_prototypes(tree, shape=(3, 4))
    probs = tree["posterior"]["probs"].mean(["chain", "draw"]).values
    weights = tree["posterior"]["weights"].mean(["chain", "draw"]).values
    for k in range(4):
        image = picture.get_viz("images", "images", cluster=k)
        np.testing.assert_allclose(np.asarray(image.get_array()), probs[k].reshape(3, 4))
        title = picture.viz["plot"].sel(cluster=k).item().get_title()
        assert title == f"{k}: {weights[k]:.0%}"


def test_more_prototypes_than_arviz_allows_panels_are_drawn(fits):
    tree = fits.count_fit("bernoulli", features=4, clusters=42, rows=400, draws=8)
    assert plot_prototypes(tree).viz["plot"].sizes["cluster"] == 42


@pytest.mark.parametrize("shape", [None, (3, 3)])
def test_a_shape_must_hold_all_pixels(fits, shape):
    with pytest.raises(InputError, match="6 pixels"):
        plot_prototypes(fits.count_fit("bernoulli", features=6), shape=shape)


def test_prototypes_are_of_bits(fits):
    with pytest.raises(InputError, match="one probability of ink"):
        plot_prototypes(fits.count_fit("poisson"))


def test_a_sheet_lays_images_side_by_side_and_outlines_what_is_missing():
    images = np.random.default_rng(0).integers(0, 2, (5, 6)).astype(float)
    missing = np.zeros((5, 6), bool)
    missing[:, 3:] = True
    images[0, 3:] = np.nan
    axes = plot_images(images, shape=(2, 3), missing=missing, columns=3).viz["plot"].item()
    pictures = [image for image in axes.images if np.ndim(image.get_array()) == 2]
    assert len(pictures) == 5
    lefts = [(image.get_extent()[0], image.get_extent()[3]) for image in pictures]
    assert lefts == [(0, 0), (4, 0), (8, 0), (0, 3), (4, 3)]
    np.testing.assert_array_equal(np.asarray(pictures[4].get_array()), images[4].reshape(2, 3))
    assert np.ma.getmaskarray(pictures[0].get_array())[1].all()
    outline = np.concatenate(axes.collections[1].get_segments())
    np.testing.assert_array_equal(outline.min(0), [4.0, 1.0])
    np.testing.assert_array_equal(outline.max(0), [7.0, 2.0])


def test_an_outline_is_the_border_of_the_mask():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    segments = outline_segments(mask)
    assert len(segments) == 2 * (2 + 3)
    assert len(outline_segments(np.zeros((2, 2), bool))) == 0
    ends = {tuple(sorted(map(tuple, segment))) for segment in segments.tolist()}
    assert ((1.0, 1.0), (2.0, 1.0)) in ends and ((4.0, 2.0), (4.0, 3.0)) in ends


@pytest.mark.parametrize(
    ("images", "missing", "message"),
    [
        (np.zeros((0, 4)), None, "at least one row"),
        (np.zeros(4), None, "at least one row"),
        (np.zeros((2, 4)), np.zeros((2, 3)), "mask"),
    ],
)
def test_sheets_of_wrong_shape_are_refused(images, missing, message):
    with pytest.raises(InputError, match=message):
        plot_images(images, missing=missing)


def test_transitions_show_start_rows_and_end_column(fits):
    tree = fits.markov_fit(("ab", "ba b", "aab"))
    axes = plot_transitions(tree).viz["plot"].item()
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert rows == ["<start>", "␣", "a", "b"]
    assert columns == ["␣", "a", "b", "<end>"]
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    mean = tree["posterior"].to_dataset().mean(["chain", "draw"])
    np.testing.assert_allclose(shown[1:], mean["transition"])
    np.testing.assert_allclose(shown[0, :3], mean["initial"])
    assert np.isnan(shown[0, 3])
    np.testing.assert_allclose(np.nansum(shown, axis=1), 1.0)


def test_of_many_tokens_the_most_frequent_are_shown(fits):
    tree = fits.markov_fit()
    matrix, rows, columns = transition_table(labelled_parameters(tree, facts_of(tree).emission))
    axes = plot_transitions(tree, max_tokens=5).viz["plot"].item()
    shown = [label.get_text() for label in axes.get_xticklabels()]
    best = set(np.array(columns)[np.argsort(-np.nanmean(matrix, 0))[:5]])
    assert set(shown) == best
    assert [label.get_text() for label in axes.get_yticklabels()][0] == "<start>"


def test_transitions_are_of_chains(fits):
    with pytest.raises(InputError, match="Markov chains"):
        plot_transitions(fits.gaussian_fit())


def test_names_of_lines_are_within_the_picture() -> None:
    sheet = plot_images(np.zeros((60, 64)), columns=10, titles=["true picture"] * 6)
    png(sheet)
    texts = sheet.viz["plot"].item().texts
    assert len(texts) == 6 and min(text.get_window_extent().x0 for text in texts) >= 0
