"""Clusters over the data: every covariance family, dimension and kind; the ellipses are right."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from arviz_plots import PlotCollection
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from scipy import stats

from ppl_models.errors import InputError
from ppl_models.plots import cluster_colors, plot_clusters
from ppl_models.plots.drawing.cluster_strokes import cluster_arrays
from ppl_models.plots.drawing.densities import component_densities
from ppl_models.plots.drawing.ellipses import ellipse_curves
from ppl_models.plots.drawing.panels import new_panels

FAMILIES = ("spherical", "diagonal", "tied", "full")


def ellipses(picture: PlotCollection, **selection: object) -> np.ndarray:
    """The drawn curves of one cluster, (curve, point, 2)."""
    artist = picture.get_viz("ellipses", "shown", **selection)
    assert isinstance(artist, LineCollection)
    return np.stack([path.vertices for path in artist.get_paths()])


def test_an_ellipse_lies_at_one_mahalanobis_distance_and_on_the_axes_of_the_covariance():
    generator = np.random.default_rng(0)
    factor = generator.normal(size=(2, 2))
    covariance, loc = factor @ factor.T + np.eye(2), np.array([3.0, -1.0])
    curve = ellipse_curves(loc, covariance, 0.8) - loc
    distance = np.einsum("pi,ij,pj->p", curve, np.linalg.inv(covariance), curve)
    np.testing.assert_allclose(distance, stats.chi2(2).ppf(0.8), rtol=1e-10)
    values, vectors = np.linalg.eigh(covariance)
    longest = curve[0] / np.linalg.norm(curve[0])
    assert abs(longest @ vectors[:, 1]) == pytest.approx(1.0)
    assert np.linalg.norm(curve[0]) == pytest.approx(np.sqrt(values[1] * stats.chi2(2).ppf(0.8)))


@pytest.mark.parametrize("covariance", FAMILIES)
def test_drawn_ellipses_belong_to_the_draws_of_every_family(fits, covariance):
    tree = fits.gaussian_fit(covariance=covariance, clusters=3, draws=40)
    picture = plot_clusters(tree, draws=10, probabilities=(0.5, 0.95))
    arrays = cluster_arrays(tree, ["length 0", "length 1"], 10, 100)
    for k in range(3):
        curves = ellipses(picture, cluster=k)
        assert curves.shape[0] == 20  # ten draws, two probabilities
        half = zip(curves[:10], arrays.loc[:, k], arrays.covariance[:, k], strict=True)
        for curve, loc, matrix in half:
            gap = curve - loc
            distance = np.einsum("pi,ij,pj->p", gap, np.linalg.inv(matrix), gap)
            np.testing.assert_allclose(distance, fits.normal_quantile_radius(0.5), rtol=1e-8)


@pytest.mark.parametrize("covariance", FAMILIES)
def test_covariances_are_read_the_same_way_from_every_family(fits, covariance):
    tree = fits.gaussian_fit(covariance=covariance, features=3, draws=8, chains=2)
    arrays = cluster_arrays(tree, [f"length {d}" for d in range(3)], 8, 100)
    posterior = tree["posterior"].to_dataset()
    expected = np.empty((8, 3, 3, 3))
    for s in range(8):
        for k in range(3):
            draw = posterior.isel(chain=s // 4, draw=s % 4)
            if covariance == "full":
                expected[s, k] = draw["covariance"].sel(cluster=k)
            elif covariance == "tied":
                expected[s, k] = draw["covariance"]
            else:
                scale = draw["scale"].sel(cluster=k).values
                expected[s, k] = np.diag(np.broadcast_to(scale, 3) ** 2)
    np.testing.assert_allclose(arrays.covariance, expected)


def test_points_have_the_colour_of_their_most_probable_cluster(fits):
    tree = fits.gaussian_fit(clusters=3, rows=60)
    picture = plot_clusters(tree)
    best = tree["responsibilities"]["responsibilities"].values.argmax(1)
    x = tree["observed_data"]["x"].values
    for k, color in enumerate(cluster_colors(3)):
        points = picture.get_viz("points", "shown", cluster=k)
        np.testing.assert_allclose(points.get_offsets(), x[best == k])
        assert {to_hex(c[:3]) for c in points.get_facecolors()} == {color}


def test_uncertain_rows_are_paler(fits):
    tree = fits.gaussian_fit(clusters=2, rows=60)
    values = tree["responsibilities"]["responsibilities"].values
    values[:] = [0.99, 0.01]
    values[0] = [0.55, 0.45]
    alpha = plot_clusters(tree).get_viz("points", "shown", cluster=0).get_facecolors()[:, 3]
    assert alpha[0] < 0.3 < 0.6 < alpha[1:].min()


def test_a_point_fit_has_one_ellipse_a_probability(fits):
    picture = plot_clusters(fits.as_point(fits.gaussian_fit()), probabilities=(0.5, 0.9, 0.95))
    assert len(ellipses(picture, cluster=0)) == 3


def test_kmeans_has_cells_and_no_ellipses(fits):
    tree = fits.as_kmeans(fits.gaussian_fit(covariance="spherical"))
    picture = plot_clusters(tree)
    assert "ellipses" not in picture.viz.children
    axes = picture.viz["plot"].item()
    (image,) = axes.images
    assert len(np.unique(np.asarray(image.get_array()).reshape(-1, 3), axis=0)) == 3


def test_one_feature_shows_densities_that_equal_the_normal_mixture(fits):
    tree = fits.gaussian_fit(covariance="univariate", clusters=2, draws=8)
    arrays = cluster_arrays(tree, ["x"], 8, 1000)
    grid = np.linspace(-20, 20, 50)
    posterior = tree["posterior"].to_dataset().isel(chain=1, draw=0)
    expected = posterior["weights"].values[:, None] * stats.norm(
        posterior["loc"].values[:, None], posterior["scale"].values[:, None]
    ).pdf(grid)
    np.testing.assert_allclose(component_densities(arrays, 0, grid)[2], expected, rtol=1e-10)
    axes = plot_clusters(tree, draws=8).viz["plot"].item()
    assert len(axes.lines) == 3  # two clusters and their mixture
    clusters = sum(line.get_ydata() for line in axes.lines[1:])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), clusters)


def test_more_features_give_a_lower_triangle_of_pairs(fits):
    picture = plot_clusters(fits.gaussian_fit(features=4, rows=80), draws=5)
    assert dict(picture.viz["plot"].sizes) == {"feature_y": 4, "feature_x": 4}
    drawn = picture.viz["ellipses"]["shown"]
    for i in range(4):
        for j in range(4):
            cell = drawn.isel(feature_y=i, feature_x=j, cluster=0).item()
            assert (cell is not None) == (j < i)
            assert picture.viz["plot"].isel(feature_y=i, feature_x=j).item().axison == (j <= i)
    last = picture.viz["plot"].isel(feature_y=3, feature_x=0).item()
    assert (last.get_xlabel(), last.get_ylabel()) == ("length 0", "length 3")


def test_of_many_features_the_five_that_separate_the_centres_are_shown(fits):
    tree = fits.gaussian_fit(features=7, rows=90)
    posterior = tree["posterior"].to_dataset().copy(deep=True)
    posterior["loc"][..., 2] = 0.0
    posterior["loc"][..., 4] = 0.0
    tree["posterior"] = tree["posterior"].assign(loc=posterior["loc"])
    shown = plot_clusters(tree, draws=2).viz["feature_x"].values.tolist()
    assert shown == [f"length {d}" for d in (0, 1, 3, 5, 6)]


def test_chosen_features_name_the_axes(fits):
    picture = plot_clusters(fits.gaussian_fit(features=4), features=["length 3", "length 1"])
    axes = picture.viz["plot"].item()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("length 3", "length 1")


def test_missing_cells_are_left_out(fits):
    tree = fits.gaussian_fit(rows=50)
    tree["observed_data"]["x"].values[:20, 0] = np.nan
    picture = plot_clusters(tree)
    drawn = [picture.get_viz("points", "shown", cluster=k).get_offsets() for k in range(3)]
    assert sum(np.ma.getmaskarray(points).any(1).sum() for points in drawn) == 20


def test_without_responsibilities_rows_are_grey(fits):
    tree = fits.gaussian_fit(rows=50).drop_nodes("responsibilities")
    axes = plot_clusters(tree).viz["plot"].item()
    assert sum(len(points.get_offsets()) for points in axes.collections[:1]) == 50


def test_many_rows_are_thinned_and_the_title_says_so(fits):
    axes = plot_clusters(fits.gaussian_fit(rows=300), max_rows=100).viz["plot"].item()
    notes = [text.get_text() for text in axes.texts]
    assert any("100 of 300 rows shown" in note for note in notes)


def test_it_draws_into_a_collection_that_is_given(fits):
    values = new_panels(size=(4, 3))
    assert plot_clusters(fits.gaussian_fit(), plot_collection=values) is values
    assert len(values.viz["plot"].item().collections) == 6  # points and ellipses of three clusters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"features": ["nose"]}, "no feature 'nose'"), ({"backend": "bokeh"}, "'bokeh'")],
)
def test_wrong_arguments_end_in_one_sentence(fits, arguments, message):
    with pytest.raises(InputError, match=message):
        plot_clusters(fits.gaussian_fit(), **arguments)


def test_a_fit_without_centres_is_refused(fits):
    with pytest.raises(InputError, match="Use plot_profiles"):
        plot_clusters(fits.count_fit("poisson"))


def test_settings_of_others_are_left_alone(fits):
    before = dict(matplotlib.rcParams)
    plot_clusters(fits.gaussian_fit())
    assert dict(matplotlib.rcParams) == before


def test_a_cluster_keeps_its_colour_whatever_the_number_of_clusters():
    assert cluster_colors(3) == cluster_colors(12)[:3]
    assert len(set(cluster_colors(40))) == 40
