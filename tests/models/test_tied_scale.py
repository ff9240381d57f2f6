"""One scale for all clusters of rows of one number, as of rows of several."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from ppl_models import fit, log_density, predict


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, 60), rng.normal(8, 3, 40)])


def _tied(rows, method, **options):
    return fit(
        "gaussian_mixture",
        rows,
        method=method,
        seed=0,
        clusters=2,
        covariance="tied",
        predictive=0,
        **options,
    )


def test_the_maximum_is_scikit_learns_of_tied_covariances(rows):
    tree = _tied(rows, "em", priors="flat")
    reference = GaussianMixture(
        2, covariance_type="tied", tol=1e-10, max_iter=5000, random_state=0, reg_covar=1e-12
    ).fit(rows[:, None])
    assert tree["posterior/scale"].dims == ("chain", "draw")
    assert tree.attrs["parameters"] == 4
    assert float(tree["posterior/scale"].squeeze()) == pytest.approx(
        float(np.sqrt(reference.covariances_.item())), rel=1e-3
    )
    assert float(log_density(tree).mean()) == pytest.approx(
        reference.score(rows[:, None]), abs=1e-6
    )


# (one scale in the density and by EM: the other tests here)
@pytest.mark.long
def test_draws_have_one_scale_and_agree_with_the_mode(rows):
    drawn = _tied(rows, "gibbs", chains=2, warmup=100, draws=200)
    mode = _tied(rows, "em")
    scale = drawn["posterior/scale"]
    assert scale.dims == ("chain", "draw")
    assert abs(scale.mean() - mode["posterior/scale"].squeeze()) < 3 * scale.std()
    best = predict(mode).values.argmax(1)
    assert (predict(drawn).values.argmax(1) == best).mean() > 0.97
