"""A thousand small mixtures: ``fit_many`` against a loop over scikit-learn's GaussianMixture.

Both from one start a group, through their public calls: ours reads the data, sets the priors by
each group's and builds the tree within the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.mixture import GaussianMixture

from ppl_models import fit_many

from .timing import Row, paired

GROUPS, ROWS, FEATURES = 1_000, 400, 2


def data() -> np.ndarray:
    """Two clusters a group, well apart, ``(group, row, feature)``."""
    generator = np.random.default_rng(0)
    far = generator.random((GROUPS, ROWS, 1)) < 0.4
    return 4.0 * far + generator.normal(size=(GROUPS, ROWS, FEATURES))


def run() -> Iterator[Row]:
    """One row: full covariances, double precision, K = 2."""
    groups = list(data())

    def ours() -> None:
        fit_many("gaussian_mixture", groups, seed=0, clusters=2, starts=1)

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for x in groups:
                GaussianMixture(2, random_state=0, tol=1e-6, max_iter=2000).fit(x)

    what = f"fit_many, {GROUPS:,} mixtures of {ROWS} × {FEATURES}, K=2, EM to convergence"
    yield paired(what, ours, theirs, "≤ 300 ms", pairs=3)
