"""k-means: Lloyd's iterations as scikit-learn does them, and the limit of the spherical mixture."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from sklearn.cluster import KMeans

from ppl_models import fit
from ppl_models.data import blobs, iris, old_faithful

CLUSTERS = 4
SPHERES = {"clusters": CLUSTERS, "covariance": "spherical"}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Overlapping round clusters."""
    return np.asarray(blobs(seed=2, rows=300, clusters=CLUSTERS, separation=3.0)[0], float)


def _lloyd(x, start):
    return KMeans(len(start), init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=500).fit(x)


def _ours(x, start, **options):
    return fit(
        "gaussian_mixture", x, method="kmeans", seed=0, predictive=0, centres=start, **options
    )


def _sorted(centres):
    centres = np.asarray(centres)
    return centres[np.lexsort(centres.T)]


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("first", [0, 17, 111])
def test_equals_scikit_learns_lloyd_from_the_same_start(rows, first, shift):
    x = rows + shift
    start = x[first : first + CLUSTERS]
    reference, tree = _lloyd(x, start), _ours(x, start, **SPHERES)
    loc = tree["posterior/loc"].values[0, 0]
    np.testing.assert_allclose(_sorted(loc), _sorted(reference.cluster_centers_), atol=1e-6)
    inertia = tree["sample_stats/inertia"].values.item()
    tolerance = 1e-10 if shift == 0 else 1e-9  # scikit-learn's own sum loses digits far out
    np.testing.assert_allclose(inertia, reference.inertia_, rtol=tolerance)
    assignment = tree["posterior/assignment"].values[0, 0]
    assert (np.diff(np.bincount(assignment)) <= 0).all()  # the largest first
    same = (assignment[:, None] == assignment) == (reference.labels_[:, None] == reference.labels_)
    assert same.all()


def test_one_dimension_too(rows):
    x = rows[:, 0]
    start = x[:CLUSTERS]
    reference, tree = _lloyd(x[:, None], start[:, None]), _ours(x, start, clusters=CLUSTERS)
    loc = np.sort(tree["posterior/loc"].values[0, 0])
    np.testing.assert_allclose(loc, np.sort(reference.cluster_centers_[:, 0]), atol=1e-6)
    np.testing.assert_allclose(
        tree["sample_stats/inertia"].values.item(), reference.inertia_, rtol=1e-10
    )


@pytest.fixture(scope="module")
def best(rows):
    """The best of ten starts."""
    return fit("gaussian_mixture", rows, method="kmeans", seed=0, predictive=0, **SPHERES)


def test_distance_never_rises_and_the_best_start_is_kept(rows, best):
    objective = best["starts/objective"].values  # J by iteration
    steps = np.diff(objective, axis=1)
    assert ((steps <= 1e-12 * objective[:, 1:]) | np.isnan(steps)).all()
    assert best["starts/best"].values[np.nanmin(objective, 1).argmin()]
    assert best["sample_stats/inertia"].values.item() == pytest.approx(
        np.nanmin(objective), rel=1e-10
    )
    reference = KMeans(CLUSTERS, n_init=20, random_state=0).fit(rows).inertia_
    assert best["sample_stats/inertia"].values.item() <= reference * (1 + 1e-9)


def test_the_point_is_a_point_of_the_program(rows, best):
    posterior = {n: v.values[0, 0] for n, v in best["posterior"].dataset.items()}
    distance = ((rows[:, None] - posterior["loc"]) ** 2).sum(-1)
    np.testing.assert_array_equal(posterior["assignment"], distance.argmin(1))
    inertia = distance.min(1).sum()
    np.testing.assert_allclose(best["sample_stats/inertia"].values.item(), inertia, rtol=1e-12)
    np.testing.assert_allclose(posterior["weights"], 1 / CLUSTERS)
    np.testing.assert_allclose(posterior["scale"], np.sqrt(inertia / rows.size))
    proportion = best["responsibilities/responsibilities"].values
    np.testing.assert_array_equal(proportion.argmax(1), posterior["assignment"])
    path = best["path/loc"].values
    np.testing.assert_array_equal(path[-1], posterior["loc"])


# (k-means against Lloyd's algorithm and known optima, and classification EM against k-means, are in
# the quick tests)
@pytest.mark.long
def test_mixture_walks_to_the_centres_as_its_scale_goes_down(rows, best):
    """EM with equal weights and one scale that is held: closer and closer, at last the same."""
    centres = _sorted(best["posterior/loc"].values[0, 0])
    gaps = []
    for scale in (1.0, 0.003):  # each is compiled anew
        fixed = {"weights": np.full(CLUSTERS, 1 / CLUSTERS), "scale": np.full(CLUSTERS, scale)}
        tree = fit(
            "gaussian_mixture",
            rows,
            method="em",
            seed=0,
            predictive=0,
            fixed=fixed,
            priors="flat",
            tolerance=1e-14,
            starts=32,  # of which some reach the better of two close optima
            **SPHERES,
        )
        gaps.append(np.abs(_sorted(tree["posterior/loc"].values[0, 0]) - centres).max())
    assert (np.diff(gaps) < 0).all()
    assert gaps[0] > 0.05
    assert gaps[-1] < 1e-6


def test_hard_assignment_at_any_held_scale_is_k_means(rows, best):
    fixed = {"weights": np.full(CLUSTERS, 1 / CLUSTERS), "scale": np.full(CLUSTERS, 0.7)}
    tree = fit(
        "gaussian_mixture",
        rows,
        method="hard",
        seed=0,
        predictive=0,
        fixed=fixed,
        priors="flat",
        starts=32,  # of which some reach the better of two close optima
        **SPHERES,
    )
    np.testing.assert_allclose(
        _sorted(tree["posterior/loc"].values[0, 0]),
        _sorted(best["posterior/loc"].values[0, 0]),
        atol=1e-9,
    )


def test_empty_clusters_and_equal_centres_stay_finite(rows):
    start = np.array([rows[0], rows[0], [1e3, 1e3], rows[5]])
    tree = _ours(rows, start, **SPHERES)
    assert np.isfinite(tree["posterior/loc"].values).all()
    assert np.isfinite(tree["sample_stats/inertia"].values.item())


def test_inertia_on_old_faithful_and_iris():
    faithful = np.asarray(old_faithful(), float)
    table = iris()
    flowers = np.asarray((table[0] if isinstance(table, tuple) else table).iloc[:, :4], float)
    for x, clusters, inertia in ((faithful, 2, 8901.768721), (flowers, 3, 78.851441)):
        tree = fit(
            "gaussian_mixture",
            x,
            method="kmeans",
            seed=0,
            predictive=0,
            clusters=clusters,
            covariance="spherical",
        )
        assert tree["sample_stats/inertia"].values.item() == pytest.approx(inertia, rel=1e-7)


#: inertia of the best k-means partitions (Gagolewski's clustering benchmarks)
FCPS = {
    "hepta": (7, 106.14765),
    "wingnut": (2, 966.60010),
}


@pytest.mark.parametrize("name", FCPS)
def test_inertia_on_the_fundamental_clustering_problems(reference, name):
    clusters, inertia = FCPS[name]
    with gzip.open(reference / "kmeans" / f"{name}.data.gz") as file:
        x = np.loadtxt(file)
    tree = fit(
        "gaussian_mixture",
        x,
        method="kmeans",
        seed=0,
        predictive=0,
        clusters=clusters,
        covariance="spherical",
        starts=20,
    )
    assert tree["sample_stats/inertia"].values.item() <= inertia * (1 + 1e-3)
