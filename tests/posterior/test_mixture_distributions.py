"""Clusters of a mixture that is a distribution, without a discrete site: its terms."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from scipy.special import softmax

from ppl_models import fit, partition, predict
from ppl_models.data import Reals
from ppl_models.errors import InputError


def terms(x: Annotated[Any, Reals] = None):
    """Two normals, as one distribution."""
    proportion = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))
    loc = numpyro.sample("loc", dist.Normal(0.0, 4.0).expand([2]).to_event(1))
    with numpyro.plate("row", len(x)):
        mixture = dist.MixtureSameFamily(dist.Categorical(proportion), dist.Normal(loc, 1.0))
        numpyro.sample("x", mixture, obs=x)


X = np.r_[-2.5, -1.5, -2.0, np.nan, 1.5, 2.5, 2.0, 3.0, 0.1]


@pytest.fixture(scope="module")
def draws():
    options = {"seed": 0, "chains": 2, "warmup": 100, "draws": 50, "predictive": 0}
    return fit(terms, X, method="nuts", **options)


def test_probabilities_of_terms_by_hand(draws):
    """Also of a row whose cell is missing, which is in each term by the terms' shares."""
    proportion, loc = (draws["posterior"][n].values for n in ("share", "loc"))
    logits = np.log(proportion)[:, :, None] + np.where(
        np.isnan(X)[:, None], 0.0, scipy.stats.norm.logpdf(X[:, None], loc[:, :, None], 1.0)
    )
    by_draw = predict(draws, by_draw=True)
    assert by_draw.dims == ("chain", "draw", "row", "cluster")
    np.testing.assert_allclose(by_draw, softmax(logits, axis=-1), atol=1e-6)
    np.testing.assert_allclose(predict(draws), softmax(logits, axis=-1).mean((0, 1)), atol=1e-6)
    with pytest.raises(InputError, match="has no discrete site"):
        predict(draws, site="z")


def test_rows_are_partitioned_by_terms(draws):
    labels = partition(draws)["partition"]["labels"].values
    assert labels[0] == labels[2] != labels[5] == labels[6]
