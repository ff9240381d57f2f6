"""Draws of common priors by NumPy.

A sampler of JAX's is some eighty small kernels to compile, which takes a hundred times as long as
the draws of a few global sites. The other priors are drawn by NumPyro.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import (
    Beta,
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    HalfNormal,
    InverseGamma,
    InverseWishart,
    LogNormal,
    Normal,
    Uniform,
)

from ppl_models.distributions.priors.rate import GeneralizedInverseGaussian
from ppl_models.distributions.priors.scales_and_blocks import (
    BlockDirichlet,
    InverseGammaScale,
    plain,
)

Shape = tuple[int, ...]
Sampler = Callable[[Any, np.random.Generator, Shape], np.ndarray]


def draw_on_host(
    prior: Distribution, shape: Shape, generator: np.random.Generator, count: int
) -> np.ndarray | None:
    """Draws of a global site by NumPy; None of a prior that NumPy does not know.

    Args:
        prior: of the site, with its plates.
        shape: of the site.
        generator: of random numbers.
        count: number of draws.

    Returns:
        ``(draw, *shape)``, in JAX's floating-point type.

    >>> drawn = draw_on_host(Normal(5.0, 0.1).expand([3]), (3,), np.random.default_rng(0), 100)
    >>> drawn.shape, float(drawn.mean().round(1))
    ((100, 3), 5.0)
    """
    base = plain(prior)
    sampler = SAMPLERS.get(type(base))
    if sampler is None:
        return None
    drawn = sampler(base, generator, (count, *shape))
    return drawn.astype(jnp.result_type(float))


def _numbers(prior: Any, *names: str) -> list[np.ndarray]:
    return [np.asarray(getattr(prior, name), np.float64) for name in names]


def _normal(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    loc, scale = _numbers(prior, "loc", "scale")
    return loc + scale * generator.standard_normal(shape)


def _gamma(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    concentration, rate = _numbers(prior, "concentration", "rate")
    return generator.standard_gamma(concentration, shape) / rate


def _rate(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    """Gamma draws, each kept with probability exp(-barrier / r), until all are."""
    rate, barrier = (np.broadcast_to(v, shape) for v in _numbers(prior, "rate", "barrier"))
    drawn, left = np.empty(shape), np.ones(shape, bool)
    while left.any():
        drawn[left] = generator.standard_gamma(prior.order, left.sum()) / rate[left]
        left[left] = generator.random(left.sum()) >= np.exp(-barrier[left] / drawn[left])
    return drawn


def _inverse_gamma(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    concentration, rate = _numbers(prior, "concentration", "rate")
    return rate / generator.standard_gamma(concentration, shape)


def _dirichlet(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    (concentration,) = _numbers(prior, "concentration")
    return _simplexes(concentration, generator, shape)


def _simplexes(
    concentration: np.ndarray, generator: np.random.Generator, shape: Shape
) -> np.ndarray:
    """Normalised gamma variables, by their logarithms: G(a) is G(a + 1) U^(1/a)."""
    logs = np.log(generator.standard_gamma(concentration + 1, shape))
    logs += np.log1p(-generator.random(shape)) / concentration
    drawn = np.exp(logs - logs.max(-1, keepdims=True))
    return drawn / drawn.sum(-1, keepdims=True)


def _block_dirichlet(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    (concentration,) = _numbers(prior, "concentration")
    parts = np.split(concentration, np.cumsum(prior.blocks)[:-1], -1)
    drawn = [_simplexes(part, generator, (*shape[:-1], part.shape[-1])) for part in parts]
    return np.concatenate(drawn, -1)


def _inverse_wishart(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    """Ψ = L Lᵀ: Σ = (L A⁻ᵀ)(L A⁻ᵀ)ᵀ with Bartlett's lower triangle A of a Wishart matrix."""
    concentration, lower = _numbers(prior, "concentration", "scale_tril")
    size = shape[-1]
    freedom = np.broadcast_to(concentration[..., None] - np.arange(size), shape[:-1])
    bartlett = np.tril(generator.standard_normal(shape), -1)
    diagonal = np.arange(size)
    bartlett[..., diagonal, diagonal] = np.sqrt(generator.chisquare(freedom))
    root = lower @ np.linalg.inv(bartlett).swapaxes(-1, -2)
    return root @ root.swapaxes(-1, -2)


def _beta(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    ones, zeros = _numbers(prior, "concentration1", "concentration0")
    return generator.beta(ones, zeros, shape)


def _uniform(prior: Any, generator: np.random.Generator, shape: Shape) -> np.ndarray:
    low, high = _numbers(prior, "low", "high")
    return generator.uniform(low, high, shape)


SAMPLERS: dict[type, Sampler] = {
    Beta: _beta,
    BlockDirichlet: _block_dirichlet,
    Dirichlet: _dirichlet,
    Exponential: lambda p, g, s: g.standard_exponential(s) / _numbers(p, "rate")[0],
    Gamma: _gamma,
    GeneralizedInverseGaussian: _rate,
    HalfNormal: lambda p, g, s: np.abs(g.standard_normal(s)) * _numbers(p, "scale")[0],
    InverseGamma: _inverse_gamma,
    InverseGammaScale: lambda p, g, s: np.sqrt(_inverse_gamma(p, g, s)),
    InverseWishart: _inverse_wishart,
    LogNormal: lambda p, g, s: np.exp(_normal(p, g, s)),
    Normal: _normal,
    Uniform: _uniform,
}
