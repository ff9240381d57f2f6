"""k-means and imputation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn.cluster
from scipy.sparse import csr_array

from ppl_models.errors import InputError
from ppl_models.sklearn import KMeans, MixtureImputer


@pytest.fixture(scope="module")
def blobs() -> np.ndarray:
    random = np.random.default_rng(0)
    centres = 10 * random.normal(size=(5, 3))
    return (centres[:, None] + random.normal(size=(5, 40, 3))).reshape(-1, 3)


def test_k_means_finds_what_scikit_learn_finds(blobs: np.ndarray) -> None:
    ours = KMeans(5, n_init=10, random_state=0).fit(blobs)
    theirs = sklearn.cluster.KMeans(5, n_init=10, random_state=0).fit(blobs)
    assert ours.inertia_ == pytest.approx(theirs.inertia_)
    assert ours.score(blobs) == pytest.approx(-ours.inertia_)
    np.testing.assert_array_equal(ours.predict(blobs), ours.labels_)
    distances = ours.transform(blobs)
    np.testing.assert_array_equal(distances.argmin(1), ours.labels_)
    assert (distances.min(1) ** 2).sum() == pytest.approx(ours.inertia_)


def test_a_weight_is_so_many_rows_whatever_their_order(blobs: np.ndarray) -> None:
    weights = np.arange(len(blobs)) % 4
    repeated = np.repeat(blobs, weights, axis=0)
    mixed = np.random.default_rng(1).permutation(repeated)
    weighted = KMeans(4, random_state=3).fit(blobs, sample_weight=weights)
    other = KMeans(4, random_state=3).fit(mixed)
    np.testing.assert_allclose(weighted.cluster_centers_, other.cluster_centers_)
    assert weighted.inertia_ == pytest.approx(other.inertia_)


def test_frames_keep_their_index_and_get_names(blobs: np.ndarray) -> None:
    table = pd.DataFrame(blobs, columns=list("abc"), index=np.arange(len(blobs)) + 7)
    for output in ("pandas", "polars"):
        model = KMeans(2, random_state=0).set_output(transform=output)
        actual = model.fit_transform(table)
        assert list(actual.columns) == ["kmeans0", "kmeans1"]
    table.iloc[0, 1] = np.nan
    filled = MixtureImputer().set_output(transform="pandas").fit_transform(table)
    assert filled.index.equals(table.index) and list(filled.columns) == list("abc")


def test_means_of_gaps_are_conditional_and_draws_scatter_about_them() -> None:
    random = np.random.default_rng(4)
    covariance = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
    x = random.multivariate_normal([1.0, 2.0, 3.0], covariance, size=3000)
    gaps = x.copy()
    gaps[random.uniform(size=x.shape) < 0.2] = np.nan
    imputer = MixtureImputer(tol=1e-9).fit(gaps)
    mixture = imputer.mixture_
    np.testing.assert_allclose(mixture.covariances_[0], covariance, atol=0.1)
    row = imputer.transform([[2.0, np.nan, 2.5]])[0]
    loc, spread = mixture.means_[0], mixture.covariances_[0]
    known = np.linalg.solve(spread[np.ix_([0, 2], [0, 2])], [2.0 - loc[0], 2.5 - loc[2]])
    expected = loc[1] + spread[1, [0, 2]] @ known
    assert row.tolist() == pytest.approx([2.0, expected, 2.5])
    many = np.tile([[2.0, np.nan, 2.5]], (4000, 1))
    draws = imputer.set_params(strategy="draw", random_state=0).transform(many)[:, 1]
    variance = spread[1, 1] - spread[1, [0, 2]] @ np.linalg.solve(
        spread[np.ix_([0, 2], [0, 2])], spread[[0, 2], 1]
    )
    assert abs(draws.mean() - expected) < 5 * np.sqrt(variance / 4000)
    assert draws.var() == pytest.approx(variance, rel=0.15)


def test_a_column_without_values_is_refused() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [np.nan] * 3})
    with pytest.raises(InputError, match="column b of X has no value"):
        MixtureImputer().fit(table)


def test_starts_that_are_given(blobs: np.ndarray) -> None:
    """Centres, or a function of them; what cannot be meant is said."""
    rows = blobs[::40]
    asked = []

    def first_rows(x: np.ndarray, clusters: int, random_state: object) -> np.ndarray:
        asked.append(clusters)
        return x[:clusters]

    model = KMeans(5, init=first_rows, n_init=3).fit(rows)
    assert asked == [5, 5, 5] and model.inertia_ == 0 and model.n_iter_ == 1
    assert model.transform(rows).diagonal().tolist() == [0] * 5
    with pytest.warns(
        RuntimeWarning, match="performing only one init in KMeans instead of n_init=3"
    ):
        KMeans(5, init=rows, n_init=3).fit(blobs)
    with pytest.raises(InputError, match=r"\(2, 3\) does not match the number of clusters 5"):
        KMeans(5, init=rows[:2]).fit(blobs)
    with pytest.raises(InputError, match=r"\(5, 2\) does not match the number of features .* 3"):
        KMeans(5, init=rows[:, :2]).fit(blobs)
    with pytest.raises(InputError, match="'algorithm' parameter of KMeans must be one of 'lloyd'"):
        KMeans(5, algorithm="hamerly").fit(blobs)


def test_sparse_rows(blobs: np.ndarray) -> None:
    rows = np.where(blobs > 0, blobs, 0)
    model, other = (KMeans(3, random_state=0).fit(x) for x in (csr_array(rows), rows))
    np.testing.assert_array_equal(model.cluster_centers_, other.cluster_centers_)
    np.testing.assert_array_equal(model.predict(csr_array(rows)), other.labels_)
