"""Bounds and windows: SciPy's tails, NumPyro's distributions, draws within the window."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random
from scipy import stats

from ppl_models.distributions.censored import FAMILIES, Censored

LOC, SCALE = np.array([0.7, 1.4]), np.array([1.5, 0.6])
SCIPY = {
    "normal": stats.norm(LOC, SCALE),
    "lognormal": stats.lognorm(SCALE, scale=np.exp(LOC)),
    "exponential": stats.expon(scale=SCALE),
    "weibull": stats.weibull_min(LOC, scale=SCALE),
}
X = np.array([0.2, 0.9, 2.5, 4.0])[:, None]


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("family", FAMILIES)
def test_values_and_bounds_are_scipys(family):
    other = SCIPY[family]
    for side, expected in ((0, other.logpdf(X)), (1, other.logsf(X)), (-1, other.logcdf(X))):
        log_densities = Censored(family, LOC, SCALE, side).log_prob(X)
        np.testing.assert_allclose(log_densities, expected, rtol=1e-9)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("family", FAMILIES)
def test_an_interval_has_the_probability_of_its_ends(family):
    other, width, low, high = SCIPY[family], 0.7, 0.1, 6.0
    side = np.array([2, 2, 1, 0])[:, None]
    until = np.where(side == 2, X + width, np.nan)  # not looked at elsewhere
    inside = other.cdf(X + width) - other.cdf(X)
    proportion = np.where(side == 2, inside, np.where(side == 1, other.sf(X), other.pdf(X)))
    complete = Censored(family, LOC, SCALE, side, until=until)
    np.testing.assert_allclose(complete.log_prob(X), np.log(proportion), rtol=1e-8)
    window = Censored(family, LOC, SCALE, side[:2], low, high, until[:2]).log_prob(X[:2])
    expected = np.log(inside[:2] / (other.cdf(high) - other.cdf(low)))
    np.testing.assert_allclose(window, expected, rtol=1e-8)

    def total(loc):
        return Censored(family, loc, SCALE, side, until=until).log_prob(X).sum()

    slope = jax.grad(total)(jnp.asarray(LOC))
    ends = [(total(LOC + step) - total(LOC - step)) / 2e-5 for step in 1e-5 * np.eye(2)]
    np.testing.assert_allclose(slope, ends, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_divides_by_its_probability(family):
    other, (low, high) = SCIPY[family], (0.1, 5.0)
    for a, b in ((low, high), (low, None), (None, high)):
        least = 0.0 if a is None else other.cdf(a)
        most = 1.0 if b is None else other.cdf(b)
        for side, proportion in (
            (0, other.pdf(X)),
            (1, most - other.cdf(X)),
            (-1, other.cdf(X) - least),
        ):
            log_densities = Censored(family, LOC, SCALE, side, a, b).log_prob(X)
            np.testing.assert_allclose(
                log_densities, np.log(proportion / (most - least)), rtol=1e-8
            )
    outside = Censored(family, LOC, SCALE, 0, low, high).log_prob(jnp.array([[0.05], [6.0]]))
    assert (np.asarray(outside) == -np.inf).all()


@pytest.mark.usefixtures("double_precision")
def test_numpyros_censored_and_truncated_distributions_agree():
    normal = dist.Normal(LOC, SCALE)
    ones = jnp.ones(2, bool)
    for side, other in (
        (1, dist.RightCensoredDistribution(normal, ones)),
        (-1, dist.LeftCensoredDistribution(normal, ones)),
    ):
        log_densities = Censored("normal", LOC, SCALE, side).log_prob(X)
        np.testing.assert_allclose(log_densities, other.log_prob(jnp.asarray(X)), rtol=1e-9)
    window = dist.TruncatedNormal(LOC, SCALE, low=0.1, high=5.0)
    log_densities = Censored("normal", LOC, SCALE, 0, 0.1, 5.0).log_prob(X)
    np.testing.assert_allclose(log_densities, window.log_prob(jnp.asarray(X)), rtol=1e-9)


@pytest.mark.usefixtures("double_precision")
def test_far_out_there_are_a_density_and_a_gradient():
    """Where 1 - F is 0 in any precision, by which a cluster could not be moved."""

    def density(loc, side, x, low=None):
        return Censored("normal", loc, 1.0, side, low).log_prob(x)

    for side, x in ((1, 60.0), (-1, -60.0)):
        np.testing.assert_allclose(density(0.0, side, x), stats.norm.logsf(60.0), rtol=1e-9)
        assert abs(jax.grad(density)(0.0, side, x)) > 50
    for sample in (1, 0, -1):  # a window far from the cluster
        assert np.isfinite(density(0.0, sample, 45.0, 40.0))
        assert np.isfinite(jax.grad(density)(0.0, sample, 45.0, 40.0))


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_are_of_the_window(family):
    drawn = np.asarray(Censored(family, 0.7, 1.5, 0, 0.5, 3.0).sample(random.key(0), (500,)))
    assert drawn.min() >= 0.5
    assert drawn.max() <= 3.0
    other = {
        "normal": stats.norm(0.7, 1.5),
        "lognormal": stats.lognorm(1.5, scale=np.exp(0.7)),
        "exponential": stats.expon(scale=1.5),
        "weibull": stats.weibull_min(0.7, scale=1.5),
    }
    least, most = other[family].cdf([0.5, 3.0])
    uniform = (other[family].cdf(drawn) - least) / (most - least)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
