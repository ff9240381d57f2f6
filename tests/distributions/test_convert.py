"""NumPyro's own distributions, read as the families here, keep their density."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from ppl_models.distributions import (
    BernoulliVector,
    CategoricalVector,
    DiagonalGaussian,
    FullGaussian,
    NoiseVarianceGaussian,
    PoissonVector,
    SphericalGaussian,
    TiedGaussian,
    UnivariateGaussian,
)
from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.exponential.family import ExponentialFamily


def _categorical(table):
    probs = np.random.default_rng(0).dirichlet(np.ones(4), (3, 1, 3))
    return probs, np.random.default_rng(1).integers(0, 4, (6, 3))


#: name -> (the distribution, as a program writes it; data; the family that it should be)
TABLE = {
    "normal": lambda t: (dist.Normal(t.LOC[:, :1], t.SCALE[:, :1]), t.X[:, 0], UnivariateGaussian),
    "normal, one scale": lambda t: (dist.Normal(t.LOC[:, :1], 0.7), t.X[:, 0], UnivariateGaussian),
    "normals": lambda t: (
        dist.Normal(t.LOC[:, None], t.SCALE[:, None]).to_event(1),
        t.X,
        DiagonalGaussian,
    ),
    "normals, scales shared": lambda t: (
        dist.Normal(t.LOC[:, None], t.SCALE[0]).to_event(1),
        t.X,
        DiagonalGaussian,
    ),
    "normals, scale a cluster": lambda t: (
        dist.Normal(t.LOC[:, None], t.SCALE[:, :1, None]).to_event(1),
        t.X,
        SphericalGaussian,
    ),
    "normals, one scale": lambda t: (
        dist.Normal(t.LOC[:, None], 0.7).to_event(1),
        t.X,
        SphericalGaussian,
    ),
    "normals, one loc": lambda t: (
        dist.Normal(0.3, t.SCALE[:, None]).to_event(1),
        t.X,
        DiagonalGaussian,
    ),
    "normals, expanded": lambda t: (
        dist.Normal(0.0, 1.0).expand((3, 1, 3)).to_event(1),
        t.X,
        SphericalGaussian,
    ),
    "multivariate normal": lambda t: (
        dist.MultivariateNormal(t.LOC[:, None], t.COVARIANCE[:, None]),
        t.X,
        FullGaussian,
    ),
    "multivariate normal, tied": lambda t: (
        dist.MultivariateNormal(t.LOC[:, None], t.COVARIANCE[0]),
        t.X,
        TiedGaussian,
    ),
    "multivariate normal, by its factor": lambda t: (
        dist.MultivariateNormal(t.LOC[:, None], scale_tril=np.linalg.cholesky(t.COVARIANCE[0])),
        t.X,
        TiedGaussian,
    ),
    "low rank": lambda t: (
        dist.LowRankMultivariateNormal(
            t.LOC[:, None], t.COVARIANCE[:, None, :, :2], t.SCALE[:, None] ** 2
        ),
        t.X,
        NoiseVarianceGaussian,
    ),
    "low rank, one loading for all": lambda t: (
        dist.LowRankMultivariateNormal(t.LOC[:, None], t.COVARIANCE[0, :, :1], t.SCALE[0]),
        t.X,
        NoiseVarianceGaussian,
    ),
    "bernoulli": lambda t: (dist.Bernoulli(t.PROBS[:, None]).to_event(1), t.BITS, BernoulliVector),
    "bernoulli, logits": lambda t: (
        dist.Bernoulli(logits=t.LOC[:, None]).to_event(1),
        t.BITS,
        BernoulliVector,
    ),
    "bernoulli, one probability": lambda t: (
        dist.Bernoulli(t.PROBS[:, :1, None]).expand((3, 1, 3)).to_event(1),
        t.BITS,
        BernoulliVector,
    ),
    "categorical": lambda t: (
        dist.Categorical(_categorical(t)[0]).to_event(1),
        _categorical(t)[1],
        CategoricalVector,
    ),
    "categorical, logits": lambda t: (
        dist.Categorical(logits=np.log(_categorical(t)[0]) + 3).to_event(1),
        _categorical(t)[1],
        CategoricalVector,
    ),
    "categorical, same for all features": lambda t: (
        dist.Categorical(_categorical(t)[0][:, :, :1]).expand((3, 1, 3)).to_event(1),
        _categorical(t)[1],
        CategoricalVector,
    ),
    "categorical, same for all": lambda t: (
        dist.Categorical(_categorical(t)[0][0, 0, 0]).expand((3, 1, 3)).to_event(1),
        _categorical(t)[1],
        CategoricalVector,
    ),
    "poisson": lambda t: (dist.Poisson(t.RATE[:, :1]), t.COUNTS[:, 0], PoissonVector),
    "poissons": lambda t: (dist.Poisson(t.RATE[:, None]).to_event(1), t.COUNTS, PoissonVector),
    "poissons, one rate": lambda t: (
        dist.Poisson(t.RATE[:, :1, None]).expand((3, 1, 3)).to_event(1),
        t.COUNTS,
        PoissonVector,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_conversion_keeps_the_density(name, table):
    distribution, value, kind = TABLE[name](table)
    family = as_family(distribution)
    assert type(family) is kind
    assert family.event_shape == distribution.event_shape

    @jax.jit
    def both(value):
        components = family.components()
        wide = components.contract(value, missing=False, centre=components.centre(value))
        return family.log_prob(value), wide, distribution.log_prob(value)

    actual, wide, expected = both(value)
    np.testing.assert_allclose(*np.broadcast_arrays(actual, expected), rtol=1e-10)
    np.testing.assert_allclose(*np.broadcast_arrays(wide, expected), rtol=1e-10)


def test_every_conversion_has_a_row(table):
    def key(distribution):
        base, dims = distribution, 0
        while isinstance(base, dist.Independent | dist.ExpandedDistribution):
            dims += getattr(base, "reinterpreted_batch_ndims", 0)
            base = base.base_dist
        return type(base), dims

    def below(base):
        return {base}.union(*map(below, base.__subclasses__()))

    families = {f for f in below(ExponentialFamily) if f.__module__.startswith("ppl_models.")}
    stated = {key for f in families for key in vars(f).get("numpyro_classes", ())}
    assert stated == {key(make(table)[0]) for make in TABLE.values()}


def test_plates_are_looked_through_and_families_are_themselves(table):
    family = DiagonalGaussian(table.LOC[:, None], table.SCALE[:, None])
    assert as_family(family.expand((3, 6))) is family
    assert unwrap(dist.Normal(0.0, 1.0).expand((2,)).expand((4, 2))).batch_shape == ()


@pytest.mark.parametrize(
    "distribution",
    [
        lambda: dist.StudentT(3.0, 0.0, 1.0),
        lambda: dist.Gamma(jnp.ones(3), 1.0).to_event(1),
        lambda: dist.Normal(0.0, 1.0).mask(False),
        lambda: dist.Categorical(jnp.ones(3) / 3),
        lambda: dist.Normal(jnp.zeros((2, 3)), 1.0).to_event(2),
    ],
)
def test_all_else_is_no_family(distribution):
    assert as_family(distribution()) is None


@pytest.mark.parametrize(
    "of_integers",
    [
        dist.Normal(jnp.array([[0.0], [4.0]]), 2),
        dist.Poisson(jnp.array([[1], [3]])),
        dist.MultivariateNormal(jnp.array([[[0, 1]]]), jnp.eye(2, dtype=int)),
    ],
    ids=["normal", "poisson", "multivariate normal"],
)
def test_parameters_of_integers_are_numbers(of_integers):
    """``dist.Normal(loc, 1)`` keeps an integer, of which no family may take an inverse square."""
    x = jnp.ones((3, *of_integers.event_shape))
    family = as_family(of_integers)
    assert family is not None
    contracted = family.components().contract(x, missing=False, centre=family.centre(x))
    expected = jnp.broadcast_to(of_integers.log_prob(x), of_integers.batch_shape[:-1] + (3,))
    np.testing.assert_allclose(contracted, expected, rtol=1e-6)
