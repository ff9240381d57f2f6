"""A plate that takes a subsample is served with all its rows."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, log_density
from ppl_models.errors import InputError

X = np.random.default_rng(0).normal(np.repeat([-3.0, 3.0], [30, 20]), 1.0)


def pieces(x=None, *, rows=50, batch=10):
    """Two groups, a few rows at a time."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("group", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", rows, subsample_size=batch) as chosen:
        z = numpyro.sample("z", dist.Categorical(weights))
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=None if x is None else x[chosen])


def test_the_fit_is_that_of_all_rows() -> None:
    trees = [fit(pieces, X, method="em", seed=0, batch=batch, starts=2) for batch in (10, None)]
    for name in ("loc", "weights"):
        a, b = (tree["posterior"][name].values for tree in trees)
        np.testing.assert_allclose(a, b, rtol=1e-10)
    a, b = (log_density(tree, X[:3]) for tree in trees)
    np.testing.assert_allclose(a, b, rtol=1e-10)


def test_rows_that_the_plate_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match="49 entries are observed at site 'x'"):
        fit(lambda x=None: pieces(x), X[:49], method="em", seed=0)
