"""k-means with scikit-learn's interface."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.spatial.distance import cdist
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ppl_models.sklearn import checks
from ppl_models.sklearn.seeds import assigned, kmeans


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """k-means, with scikit-learn's interface.

    As ``sklearn.cluster.KMeans``. A weight of 2 is the same as the row twice, in the starts too.
    Lloyd (1982); Arthur and Vassilvitskii (2007).

    Args:
        n_clusters: number of clusters K.
        init: "k-means++", "random" rows, centres ``(cluster, feature)``, or a function
            ``init(X, n_clusters, random_state)`` that returns them.
        n_init: number of starts; "auto" is 1, or 10 of random rows.
        max_iter: maximum number of iterations per start.
        tol: least squared movement of the centres, in parts of the features' mean variance.
        verbose: 1 prints how the fit ended.
        random_state: seed, or generator.
        copy_x: as scikit-learn's; ``X`` is never changed.
        algorithm: "lloyd" or "elkan", as scikit-learn's; both give the same result, by the same
            code here.

    Attributes:
        cluster_centers_: ``(cluster, feature)``.
        labels_: ``(row,)``.
        inertia_: sum of squared distances to the nearest centre.
        n_iter_: iterations of the best start.

    >>> X = np.array([[1.0, 2.0], [1.0, 4.0], [10.0, 2.0], [10.0, 4.0]])
    >>> model = KMeans(2, random_state=0).fit(X)
    >>> model.inertia_, sorted(model.cluster_centers_.tolist())
    (4.0, [[1.0, 3.0], [10.0, 3.0]])
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: Any = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Minimise the sum of squared distances to the nearest centre.

        Args:
            X: complete rows ``(row, feature)``; a sparse matrix is filled in with its zeros.
            y: ignored.
            sample_weight: weights of rows.
        """
        x = self._dense(X, reset=True)
        checks.whole_numbers(self, "n_clusters", "max_iter")
        checks.real(self, "tol")
        checks.one_of(self, "algorithm", ("lloyd", "elkan"))
        weights = checks.weights_of(x, sample_weight)
        starts, init = self._starts()
        best = kmeans(
            np.asarray(x, float),
            weights,
            self.n_clusters,
            check_random_state(self.random_state),
            starts=starts,
            iterations=self.max_iter,
            tolerance=self.tol,
            init=init,
        )
        self.cluster_centers_ = best.centres.astype(x.dtype)
        self.labels_, self.inertia_ = best.labels.astype(np.int32), best.inertia
        self.n_iter_, self._n_features_out = best.iterations, self.n_clusters
        distinct = len(np.unique(best.labels))
        if distinct < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({self.n_clusters}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if self.verbose:
            print(f"{self.n_iter_} iterations, inertia {self.inertia_:g}")
        return self

    def _starts(self) -> tuple[int, Any]:
        init = self.init
        if not (isinstance(init, str) or callable(init)):
            if self.n_init not in ("auto", 1):
                warnings.warn(
                    "Explicit initial center position passed: performing only one init in KMeans "
                    f"instead of n_init={self.n_init}.",
                    RuntimeWarning,
                    stacklevel=3,
                )
            return 1, checks.as_numpy(init)
        if isinstance(init, str):
            checks.one_of(self, "init", ("k-means++", "random"))
        if self.n_init == "auto":
            return (1 if init == "k-means++" else 10), init
        checks.whole_numbers(self, "n_init")
        return self.n_init, init

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._dense(X, reset=False)

    def _dense(self, X: Any, *, reset: bool) -> np.ndarray:
        """The rows, those of a sparse matrix with all their zeros."""
        rows: Any = checks.rows_of(self, X, reset=reset, allow_missing=False, accept_sparse=True)
        return rows.toarray() if issparse(rows) else rows

    def predict(self, X: Any) -> np.ndarray:
        """The nearest centre of every row, ``(row,)``."""
        x = np.asarray(self._rows(X), float)
        return assigned(x, np.asarray(self.cluster_centers_, float))[0].astype(np.int32)

    def transform(self, X: Any) -> np.ndarray:
        """Distances to the centres, ``(row, cluster)``."""
        x = self._rows(X)
        centres = np.asarray(self.cluster_centers_, float)
        return cdist(np.asarray(x, float), centres).astype(x.dtype)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the sum of squared distances to the nearest centre."""
        x = self._rows(X)
        weights = checks.weights_of(x, sample_weight)
        nearest = assigned(np.asarray(x, float), np.asarray(self.cluster_centers_, float))[1]
        return float(-(weights @ nearest))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
