"""The mixtures once more, with NumPyro's own distributions."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from default_priors import scatter_rate

from ppl_models.distributions import BlockDirichlet, InverseGammaScale
from ppl_models.distributions.priors.axis_shape import AxisShape
from ppl_models.distributions.priors.orientation import UniformRotation


def _weights(clusters: int, concentration: float = 1.0) -> Any:
    return numpyro.sample("weights", dist.Dirichlet(jnp.full(clusters, concentration)))


def _assignment(weights: Any) -> Any:
    return numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})


def gaussian(x: Any, *, clusters: int, covariance: str = "full") -> None:
    """As ``gaussian_mixture``, its default priors written out."""
    x = np.asarray(x, float)  # by NumPy, outside what is traced
    mean, variance = x.mean(0), x.var(0)
    weights = _weights(clusters)
    if x.ndim == 1:
        rate = scatter_rate("scale_rate", variance / clusters**2, x, clusters)
        with numpyro.plate("cluster", clusters):
            loc = numpyro.sample("loc", dist.Normal(mean, 2 * jnp.sqrt(variance)))
            scale = numpyro.sample("scale", InverseGammaScale(2.0, rate))
        with numpyro.plate("row", len(x)):
            z = _assignment(weights)
            numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)
        return
    features = x.shape[1]
    proportion = variance * clusters ** (-2 / features)
    if covariance in ("spherical", "diagonal", "EII", "EEI"):
        mean_rate = proportion.mean() if covariance in ("spherical", "EII") else proportion
        own = 1 if covariance[0] == "E" else clusters
        rate = scatter_rate("scale_rate", mean_rate, x, own)
    else:
        rate = scatter_rate(
            "scale_diagonal", proportion, x, 1 if covariance == "tied" else clusters
        )
        wishart = dist.InverseWishart(features + 2.0, scale_matrix=jnp.diag(rate))
    if covariance == "tied":
        tied = numpyro.sample("covariance", wishart)
    if covariance in ("EII", "EEI"):
        prior = InverseGammaScale(2.0, rate)
        scale = numpyro.sample("scale", prior if covariance == "EII" else prior.to_event(1))
        scale = jnp.broadcast_to(scale, (clusters, *scale.shape))
        covariance = "spherical" if covariance == "EII" else "diagonal"
        shared = True
    else:
        shared = False
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(mean, 2 * jnp.sqrt(variance)).to_event(1))
        if shared:
            pass
        elif covariance == "spherical":
            scale = numpyro.sample("scale", InverseGammaScale(2.0, rate))
        elif covariance == "diagonal":
            scale = numpyro.sample("scale", InverseGammaScale(2.0, rate).to_event(1))
        elif covariance == "full":
            full = numpyro.sample("covariance", wishart)
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        if covariance == "spherical":
            emission = dist.Normal(loc[z], scale[z][..., None]).to_event(1)
        elif covariance == "diagonal":
            emission = dist.Normal(loc[z], scale[z]).to_event(1)
        elif covariance == "tied":
            emission = dist.MultivariateNormal(loc[z], tied)
        else:
            emission = dist.MultivariateNormal(loc[z], full[z])
        numpyro.sample("x", emission, obs=x)


def ellipsoids(x: Any, *, clusters: int, covariance: str) -> None:
    """As ``gaussian_mixture`` by volume, shape and orientation, its default priors written out."""
    x = np.asarray(x, float)  # by NumPy, outside what is traced
    features = x.shape[1]
    volume, form, axes = covariance
    lengths = x.var(0) if axes == "I" else np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    average = np.exp(np.log(lengths).mean())
    weights = _weights(clusters)
    equal = 1 if volume == "E" else clusters
    rate = scatter_rate("scale_rate", average * clusters ** (-2 / features), x, equal)

    shape_prior = AxisShape(lengths, 1.0, falling=axes != "I")
    loc_prior = dist.Normal(x.mean(0), 2 * x.std(0)).to_event(1)
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", loc_prior)
    sites = {"axis_shape": (shape_prior, form), "scale": (InverseGammaScale(2.0, rate), volume)}
    if axes != "I":
        sites["orientation"] = UniformRotation(features), axes
    actual = {}
    for name, (prior, letter) in sites.items():
        if letter == "V":
            with numpyro.plate("cluster", clusters):
                actual[name] = numpyro.sample(name, prior)
        else:
            one = numpyro.sample(name, prior)
            actual[name] = jnp.broadcast_to(one, (clusters, *jnp.shape(one)))
    turn = actual.get(
        "orientation", jnp.broadcast_to(jnp.eye(features), (clusters, *[features] * 2))
    )
    root = turn * (actual["scale"][:, None] * jnp.sqrt(actual["axis_shape"]))[:, None, :]
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        emission = dist.MultivariateNormal(loc[z], (root @ jnp.swapaxes(root, 1, 2))[z])
        numpyro.sample("x", emission, obs=x)


def bernoulli(x: Any, *, clusters: int) -> None:
    weights = _weights(clusters)
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample(
            "probs", dist.Beta(*[1 + 0.5 / clusters] * 2).expand((x.shape[1],)).to_event(1)
        )
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        numpyro.sample("x", dist.Bernoulli(probs[z]).to_event(1), obs=x)


def categorical(x: Any, *, clusters: int, levels: tuple[int, ...]) -> None:
    weights = _weights(clusters)
    prior = jnp.concatenate([jnp.full(m, 1 + 1 / (clusters * m)) for m in levels])
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", BlockDirichlet(prior, levels))
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        first, second = probs[z][..., : levels[0]], probs[z][..., levels[0] :]
        numpyro.sample("x first", dist.Categorical(first), obs=x[:, 0])
        numpyro.sample("x second", dist.Categorical(second), obs=x[:, 1])


def poisson(x: Any, *, clusters: int) -> None:
    weights = _weights(clusters)
    mean = jnp.asarray(x, float).mean(0)
    prior = dist.Gamma(1.5, 1.5 / mean)
    with numpyro.plate("cluster", clusters):
        rate = numpyro.sample("rate", prior if x.ndim == 1 else prior.to_event(1))
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        emission = dist.Poisson(rate[z])
        numpyro.sample("x", emission if x.ndim == 1 else emission.to_event(1), obs=x)
