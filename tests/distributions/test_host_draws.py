"""Draws of priors by NumPy have the priors' distributions, number by number."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from ppl_models.distributions import GeneralizedInverseGaussian, InverseGammaScale
from ppl_models.distributions.priors.host_draws import SAMPLERS, draw_on_host
from ppl_models.distributions.priors.scales_and_blocks import BlockDirichlet

pytestmark = pytest.mark.usefixtures("double_precision")

COUNT = 4000
MANY = (2, 3)
A, B = np.array([0.4, 1.0, 5.0]), np.array([0.5, 2.0, 7.0])

#: prior of a site of shape (2, 3), and SciPy's distribution of each of its numbers
NUMBERS = {
    dist.Beta: (dist.Beta(A, B), stats.beta(A, B)),
    dist.Exponential: (dist.Exponential(B), stats.expon(scale=1 / B)),
    dist.Gamma: (dist.Gamma(A, B), stats.gamma(A, scale=1 / B)),
    dist.HalfNormal: (dist.HalfNormal(B), stats.halfnorm(scale=B)),
    dist.InverseGamma: (dist.InverseGamma(A, B), stats.invgamma(A, scale=B)),
    dist.LogNormal: (dist.LogNormal(A, B), stats.lognorm(B, scale=np.exp(A))),
    dist.Normal: (dist.Normal(A, B), stats.norm(A, B)),
    dist.Uniform: (dist.Uniform(A, A + B), stats.uniform(A, B)),
}


def agrees(drawn, distribution):
    """Kolmogorov and Smirnov's test, which true draws fail once in a million times."""
    return stats.kstest(drawn, distribution.cdf).pvalue > 1e-6


def draw(prior, shape, count=COUNT):
    actual = draw_on_host(prior, shape, np.random.default_rng(0), count)
    assert actual is not None and actual.shape == (count, *shape)
    return actual.astype(float)


def of_number(distribution, place):
    """One of an array of SciPy's distributions."""
    args, kwargs = distribution.args, distribution.kwds
    return distribution.dist(
        *[np.broadcast_to(a, 3)[place] for a in args],
        **{n: np.broadcast_to(v, 3)[place] for n, v in kwargs.items()},
    )


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_numbers_have_the_distribution(kind):
    prior, wanted = NUMBERS[kind]
    for complete in (prior.expand(MANY), prior.to_event(1).expand([2])):
        drawn = draw(complete, MANY)
        for place in np.ndindex(*MANY):
            assert agrees(drawn[(slice(None), *place)], of_number(wanted, place[-1]))
        assert abs(np.corrcoef(drawn.reshape(COUNT, -1).argsort(0).argsort(0).T)[0, 1]) < 0.08


def test_a_scale_has_an_inverse_gamma_square():
    drawn = draw(InverseGammaScale(2.0, B).expand(MANY), MANY)
    for place in range(3):
        assert agrees(drawn[:, 1, place] ** 2, stats.invgamma(2.0, scale=B[place]))


def test_a_rate_is_kept_off_zero():
    drawn = draw(GeneralizedInverseGaussian(2.5, B, 0.3).expand(MANY), MANY)
    for place in range(3):
        a = B[place]
        law = stats.geninvgauss(2.5, 2 * np.sqrt(0.3 * a), scale=np.sqrt(0.3 / a))
        assert agrees(drawn[:, 1, place], law)


@pytest.mark.parametrize("concentration", [[1.0, 1.0, 1.0], [0.02, 0.5, 4.0]])
def test_shares_have_beta_margins_and_sum_to_one(concentration):
    drawn = draw(dist.Dirichlet(jnp.array(concentration)).expand([2]), MANY)
    assert np.allclose(drawn.sum(-1), 1) and np.isfinite(drawn).all()
    total = sum(concentration)
    for place, a in enumerate(concentration):
        margin = stats.beta(a, total - a)
        selected = drawn[:, 0, place] > 1e-30  # what is less has no digits
        assert abs(selected.mean() - margin.sf(1e-30)) < 5 * np.sqrt(0.25 / COUNT)
        least = margin.cdf(1e-30)
        assert agrees(margin.cdf(drawn[selected, 0, place]), stats.uniform(least, 1 - least))


def test_blocks_of_shares_are_drawn_apart():
    prior = BlockDirichlet(jnp.array([1.0, 3.0, 2.0, 2.0, 5.0]), (2, 3)).expand([2])
    drawn = draw(prior, (2, 5))
    assert np.allclose(drawn[..., :2].sum(-1), 1) and np.allclose(drawn[..., 2:].sum(-1), 1)
    assert agrees(drawn[:, 1, 0], stats.beta(1, 3))
    assert agrees(drawn[:, 1, 4], stats.beta(5, 4))
    assert abs(np.corrcoef(drawn[:, 0, 0], drawn[:, 0, 2])[0, 1]) < 0.08


def test_a_matrix_has_the_inverse_wishart_distribution():
    """aᵀΣa is inverse gamma of (ν - D + 1) / 2 and aᵀΨa / 2 for every a."""
    scale, freedom = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]]), 5.5
    prior = dist.InverseWishart(freedom, scale_matrix=jnp.array(scale), validate_args=False)
    drawn = draw(prior.expand([2]), (2, 3, 3))
    assert np.allclose(drawn, drawn.swapaxes(-1, -2))
    for a in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -2, 0.5], [0.3, 1, 4]):
        a = np.array(a, float)
        wanted = stats.invgamma((freedom - 2) / 2, scale=a @ scale @ a / 2)
        assert agrees(np.einsum("i,nij,j->n", a, drawn[:, 1], a), wanted)
    # |Ψ| / |Σ| is a product of χ² variables with ν, ν - 1, ν - 2 degrees of freedom
    logs = np.log(np.linalg.det(scale)) - np.linalg.slogdet(drawn[:, 0])[1]
    chi2 = np.random.default_rng(1).chisquare(freedom - np.arange(3), (COUNT, 3))
    assert stats.ks_2samp(logs, np.log(chi2).sum(1)).pvalue > 1e-6


def test_every_sampler_is_tested_here():
    apart = {
        GeneralizedInverseGaussian,
        InverseGammaScale,
        dist.Dirichlet,
        BlockDirichlet,
        dist.InverseWishart,
    }
    assert set(SAMPLERS) == {*NUMBERS, *apart}


def test_others_are_left_to_numpyro():
    kinds = (dist.StudentT(3.0), dist.TruncatedNormal(0.0, 1.0, low=0.0))
    assert all(draw_on_host(p, (), np.random.default_rng(0), 3) is None for p in kinds)
