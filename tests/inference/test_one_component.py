"""Programs that hide nothing: as any other, by every method."""

from __future__ import annotations

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit
from ppl_models.errors import UnsupportedError

X = np.random.default_rng(0).normal(2.0, 1.0, 40)


def known_scale(x=None, *, rows=40, constant=False):
    """Numbers about one mean."""
    scale = numpyro.sample("scale", dist.Delta(1.0)) if constant else 1.0
    mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", rows):
        numpyro.sample("x", dist.Normal(mean, scale), obs=x)


def test_draws_of_a_mean_have_its_closed_form() -> None:
    precision = len(X) + 1 / 25
    tree = fit(known_scale, X, method="nuts", seed=0, chains=2, draws=250, warmup=150)
    draws = tree["posterior"]["mean"].values
    assert np.isclose(draws.mean(), X.sum() / precision, atol=5 / np.sqrt(precision * 150))
    assert np.isclose(draws.std(), precision**-0.5, rtol=0.2)


def test_a_constant_is_refused_with_a_way_out() -> None:
    with pytest.raises(UnsupportedError, match=r"'scale'.*Delta.*numpyro.deterministic"):
        fit(known_scale, X, method="map", seed=0, constant=True)
