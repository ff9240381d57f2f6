"""Responsibilities, similarity and labels: rows and colours stand where they belong."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ppl_models import coassignment, fit
from ppl_models.errors import InputError
from ppl_models.plots import plot_labels, plot_responsibilities, plot_similarity
from ppl_models.plots.labels import rank_curves
from ppl_models.plots.responsibilities import row_order, stacked
from ppl_models.plots.similarity import block_order, linkage_order


def test_rows_are_ordered_by_cluster_and_falling_certainty():
    probability = np.random.default_rng(0).dirichlet([0.4, 0.4, 0.4], 200)
    order = row_order(probability)
    assert sorted(order) == list(range(200))
    best, certainty = probability[order].argmax(1), probability[order].max(1)
    assert (np.diff(best) >= 0).all()
    for k in range(3):
        assert (np.diff(certainty[best == k]) <= 0).all()


def test_columns_are_stacked_to_one_with_the_own_cluster_at_the_bottom():
    probability = np.random.default_rng(1).dirichlet([0.5] * 4, 50)
    bands = stacked(probability)
    np.testing.assert_allclose(bands[..., 1] - bands[..., 0], probability.T)
    np.testing.assert_allclose(bands[..., 1].max(0), 1.0)
    best = probability.argmax(1)
    np.testing.assert_allclose(bands[best, np.arange(50), 0], 0.0)
    for row in range(50):  # no gap and no overlap
        lows, highs = np.sort(bands[:, row, 0]), np.sort(bands[:, row, 1])
        np.testing.assert_allclose(lows[1:], highs[:-1], atol=1e-12)


def test_responsibilities_tell_how_many_rows_are_doubtful(fits):
    tree = fits.gaussian_fit(rows=100)
    values = tree["responsibilities"]["responsibilities"].values
    values[:] = [1.0, 0.0, 0.0]
    values[:7] = [0.5, 0.3, 0.2]
    picture = plot_responsibilities(tree)
    axes = picture.viz["plot"].item()
    assert any("7 rows (7%)" in text.get_text() for text in axes.texts)
    assert axes.get_xlim() == (0.0, 100.0)
    assert picture.viz["bands"]["bands"].sizes["cluster"] == 3


def test_thousands_of_rows_are_thinned_to_their_sorted_shape(fits):
    tree = fits.gaussian_fit(rows=900, draws=8, chains=2)
    picture = plot_responsibilities(tree, max_rows=90)
    band = picture.get_viz("bands", "bands", cluster=0)
    assert band.get_paths()[0].vertices[:, 0].max() == pytest.approx(900)


def test_a_fit_alone_has_no_similarity_and_the_way_to_it_works(fits):
    tree = fits.gaussian_fit(rows=30, draws=8, chains=2)
    with pytest.raises(InputError, match=r"give coassignment\(tree\)"):
        plot_similarity(tree)
    rows = [[0.0], [0.2], [9.0], [9.1]]
    options = {"clusters": 2, "draws": 20, "warmup": 10, "chains": 1, "predictive": 0}
    drawn = fit("gaussian_mixture", rows, method="gibbs", seed=0, **options)
    axes = plot_similarity(coassignment(drawn)).viz["plot"].item()
    np.testing.assert_array_equal(axes.images[0].get_array().shape, (4, 4))


def test_responsibilities_are_needed(fits):
    with pytest.raises(InputError, match="'responsibilities'"):
        plot_responsibilities(fits.markov_fit())


def blocks(sizes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A shuffled similarity matrix of clear blocks, and the partition behind it."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.where(labels[:, None] == labels, 0.9, 0.05), labels


def test_similarity_puts_large_blocks_first_and_central_rows_before_others():
    matrix, labels = blocks((3, 8, 5))
    matrix[labels == 1] += np.linspace(0.0, 0.05, 8)[:, None]
    order = block_order(matrix, labels)
    assert labels[order].tolist() == [1] * 8 + [2] * 5 + [0] * 3
    inside = order[:8]
    mean = matrix[np.ix_(inside, inside)].mean(1)
    assert (np.diff(mean) <= 1e-12).all()


def test_similarity_without_a_partition_is_ordered_by_linkage():
    matrix, labels = blocks((6, 9, 5))
    ordered = labels[linkage_order(matrix)]
    assert (np.diff(ordered) != 0).sum() == 2  # three unbroken runs


def test_the_picture_of_similarity_shows_the_ordered_matrix_and_its_blocks():
    matrix, labels = blocks((4, 7))
    axes = plot_similarity(xr.DataArray(matrix), partition=labels).viz["plot"].item()
    shown = np.asarray(axes.images[0].get_array())
    expected = np.full((11, 11), 0.05)
    expected[:7, :7] = expected[7:, 7:] = 0.9
    np.testing.assert_allclose(shown, expected)
    assert len(axes.lines) == 2
    np.testing.assert_allclose(axes.lines[0].get_xdata().max(), 7 / 11)


def test_a_tree_with_similarity_and_partition_is_read(fits):
    matrix, labels = blocks((4, 7))
    tree = fits.gaussian_fit()
    rows = np.arange(100, 111)
    pairs = xr.Dataset({"similarity": (("row", "row_other"), matrix)}, {"row": rows})
    every = np.full(200, 9)
    every[rows] = labels
    tree["similarity"] = xr.DataTree(pairs)
    tree["partition"] = xr.DataTree(xr.Dataset({"labels": ("row", every)}, {"row": range(200)}))
    axes = plot_similarity(tree).viz["plot"].item()
    assert any("2 blocks" in text.get_text() for text in axes.texts)


def test_large_similarities_are_thinned():
    matrix, labels = blocks((300, 200))
    axes = plot_similarity(xr.DataArray(matrix), partition=labels, max_rows=50).viz["plot"].item()
    assert axes.images[0].get_array().shape == (50, 50)
    assert any("50 of 500 rows" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize(
    ("matrix", "partition", "message"),
    [(np.eye(3)[:2], None, r"\(2, 3\)"), (np.eye(3), [0, 1], "2 labels for 3 rows")],
)
def test_similarities_of_wrong_shape_are_refused(matrix, partition, message):
    with pytest.raises(InputError, match=message):
        plot_similarity(xr.DataArray(matrix), partition=partition)


def test_rank_curves_are_flat_for_equal_chains_and_tall_for_different_ones():
    generator = np.random.default_rng(0)
    same = generator.normal(size=(4, 500))
    assert np.abs(rank_curves(same)).max() < 0.1
    apart = same + np.arange(4)[:, None] * 10
    assert np.abs(rank_curves(apart)).max() == pytest.approx(0.75, abs=0.01)


def test_labels_show_switched_draws_before_and_straight_ones_after(fits):
    tree = fits.gaussian_fit(clusters=3)
    swapped = fits.swap_labels(tree)
    picture = plot_labels(swapped, tree, "loc", feature="length 1")
    panels = picture.viz["plot"]
    assert dict(panels.sizes) == {"what": 2, "when": 2}
    for when, source in (("before", swapped), ("after", tree)):
        lines = panels.sel(what="trace", when=when).item().lines
        traces = [line for line in lines if len(line.get_xdata()) == 100]
        assert len(traces) == 4 * 3
        drawn = source["posterior"]["loc"].sel(feature="length 1").isel(chain=2, cluster=1)
        assert any(np.array_equal(line.get_ydata(), drawn) for line in traces)
    notes = {
        when: panels.sel(what="trace", when=when).item().texts[0].get_text()
        for when in ("before", "after")
    }
    assert float(notes["before"].split()[-1]) > 1.3 > 1.1 > float(notes["after"].split()[-1])
    assert panels.sel(what="trace", when="before").item().get_ylabel() == "loc, length 1"


def test_labels_need_a_variable_with_clusters(fits):
    tree = fits.gaussian_fit(covariance="tied")
    with pytest.raises(InputError, match="choose from weights, loc"):
        plot_labels(tree, tree, "covariance")
