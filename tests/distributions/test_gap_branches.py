"""Data that are traced: gradients as those of known data, without what gaps would need."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from ppl_models.distributions.convert import as_family
from ppl_models.distributions.gap_branches import by_gaps

CLUSTERS, ROWS, FEATURES = 3, 41, 5
_g = np.random.default_rng(8)
X = _g.normal(0, 2, (ROWS, FEATURES))
GAPS = X.copy()
GAPS[[0, 3, 3, 8, 8, 8, 8, 8], [1, 0, 2, 0, 1, 2, 3, 4]] = np.nan
ROOT = _g.normal(size=(CLUSTERS, 1, FEATURES, FEATURES))
COVARIANCE = ROOT @ ROOT.swapaxes(-1, -2) + np.eye(FEATURES)
#: locations that all rows of a cluster share, and one for every row
LOC = {"shared": _g.normal(size=(CLUSTERS, 1, FEATURES)),
       "by row": _g.normal(size=(CLUSTERS, ROWS, FEATURES))}  # fmt: skip


def _density(loc, covariance, x):
    return as_family(dist.MultivariateNormal(loc, covariance)).log_prob(x)


def _of_observed(loc, covariance, rows):
    """Row by row: the distribution of the observed features alone."""
    columns = []
    for n, row in enumerate(rows):
        seen = np.flatnonzero(~np.isnan(row))
        if not len(seen):
            columns.append(jnp.zeros(CLUSTERS))
            continue
        own = loc[:, min(n, loc.shape[1] - 1), seen]
        part = covariance[:, 0][:, seen][:, :, seen]
        columns.append(dist.MultivariateNormal(own, part).log_prob(row[seen]))
    return jnp.stack(columns, -1)


@pytest.mark.parametrize("rows", [X, GAPS], ids=["complete", "gaps"])
@pytest.mark.parametrize("place", LOC)
def test_density_and_slopes_of_traced_and_known_rows_are_numpyros(place, rows):
    weights = _g.normal(size=(CLUSTERS, ROWS))

    def summed(density):
        return lambda loc, covariance, *x: (weights * density(loc, covariance, *x)).sum()

    with jax.enable_x64(True):
        parameters = jnp.asarray(LOC[place]), jnp.asarray(COVARIANCE)

        @jax.jit
        def look(parameters, x):
            slopes = [
                jax.value_and_grad(summed(density), (0, 1))(*parameters)
                for density in (
                    lambda *p: _density(*p, x),
                    lambda *p: _density(*p, rows),
                    lambda *p: _of_observed(*p, rows),
                )
            ]
            bends = [
                jax.jvp(jax.grad(summed(density)), parameters, parameters)[1]
                for density in (lambda *p: _density(*p, x), lambda *p: _of_observed(*p, rows))
            ]
            return slopes, bends

        (traced, known, expected), bends = look(parameters, jnp.asarray(rows))
        for one, two, other in zip(*map(jax.tree.leaves, (traced, known, expected)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-11 * np.abs(other).max())
            np.testing.assert_allclose(two, other, rtol=1e-10, atol=1e-11 * np.abs(other).max())
        np.testing.assert_allclose(*bends, rtol=1e-9, atol=1e-10 * np.abs(bends[1]).max())


@pytest.mark.parametrize("place", LOC)
def test_no_matrix_a_row_is_left_behind_for_the_slope(place):
    """Of complete rows the branch with gaps made zeros of its matrices in every gradient."""
    slope = jax.value_and_grad(lambda *p: _density(*p).sum(), (0, 1))
    jaxpr = jax.make_jaxpr(slope)(LOC[place], COVARIANCE, X).jaxpr
    branches = [e for e in jaxpr.eqns if e.primitive.name == "cond"]
    assert len(branches) == 2  # one forward, one backward
    largest = max(v.aval.size for e in branches for v in e.outvars)
    assert largest <= CLUSTERS * ROWS * FEATURES


def test_the_data_choose_the_branch():
    chosen = jax.jit(lambda gaps: by_gaps(gaps, lambda missing: jnp.array(float(missing))))
    assert chosen(True) == 1
    assert chosen(False) == 0
