"""Gaussian emissions with a noise component: the last component has a constant density.

The noise has no parameters of its own, so that the other components keep their closed forms, and
the statistics of all of them sum the rows up. Banfield and Raftery (1993), Model-based Gaussian and
non-Gaussian clustering, §3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions import constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.family import (
    ExponentialFamily,
    Statistics,
    broadcast_batch,
    real,
)
from ppl_models.distributions.exponential.gaussian import DiagonalGaussian, SphericalGaussian
from ppl_models.distributions.exponential.gaussian_full import FullGaussian


class WithNoise(ExponentialFamily):
    """Components of another family, the last of them replaced by noise of constant density.

    The density of noise is one over the volume of a box, within it and beyond: what lies far off is
    noise. A missing cell drops out of the volume. With one batch axis the noise is the last
    component; its entries of the other parameters stand for nothing, and no fit tells them.

    Args:
        low: least values of the box, ``(feature,)``, the same for all components.
        high: greatest values.
        noise: whether a component is the noise, ``batch``.
        **parameters: of the other family, by name.
    """

    of: ClassVar[type[ExponentialFamily]]
    last_is_noise = True
    shared_parameters: ClassVar[tuple[str, ...]] = ("low", "high")
    unreported_parameters: ClassVar[tuple[str, ...]] = ("noise",)
    component_picture = "ellipses"
    support = constraints.real_vector
    low: Array
    high: Array
    noise: Array

    def __init_subclass__(cls, of: type[ExponentialFamily] | None = None, **kwargs: Any) -> None:
        if of is not None:
            cls.of = of
            vector = constraints.real_vector
            own = {"low": vector, "high": vector, "noise": constraints.boolean}
            cls.arg_constraints = {**of.arg_constraints, **own}
            cls.conjugate_priors = of.conjugate_priors
            cls.factorises = of.factorises
            names: Any = of.parameter_axes
            fixed = {} if isinstance(names, property) else names
            cls.parameter_axes = {**fixed, "low": ("feature",), "high": ("feature",)}
        super().__init_subclass__(**kwargs)

    def __init__(
        self,
        *,
        low: Any,
        high: Any,
        noise: Any,
        validate_args: bool | None = None,
        **parameters: Any,
    ):
        self.low, self.high, self.noise = real(low), real(high), jnp.asarray(noise)
        for name in self.of.parameter_dims:
            setattr(self, name, real(parameters[name]))
        pairs = [(getattr(self, name), dims) for name, dims in self.of.parameter_dims.items()]
        batch = broadcast_batch(*pairs, (self.noise, 0))
        super().__init__(batch, self.low.shape[-1:], validate_args=validate_args)

    def _of(self, rows: slice = slice(None)) -> ExponentialFamily:
        """The other family, of some of the components."""
        parameters = {name: getattr(self, name)[rows] for name in self.of.parameter_dims}
        return self.of(**parameters, validate_args=False)

    @property
    def _clusters(self) -> ExponentialFamily:
        """All components but the noise; one batch axis."""
        return self._of(slice(-1))

    def named_parameters(self) -> dict[str, Array]:
        """Parameters of all components but the noise, and the box."""
        box = {"low": self.low[None], "high": self.high[None]}
        return self._clusters.named_parameters() | box

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Those of the other components, and of a uniform distribution in the box."""
        own = {name: parameters[name] for name in cls.of.parameter_dims}
        loc, covariance = cls.of.component_moments(own)
        low, high = np.asarray(parameters["low"]), np.asarray(parameters["high"])
        loc = np.concatenate([loc, ((low + high) / 2)[..., None, :]], -2)
        if covariance is None:
            return loc, None
        uniform = ((high - low) ** 2 / 12)[..., None] * np.eye(loc.shape[-1])
        return loc, np.concatenate([covariance, uniform[..., None, :, :]], -3)

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """One component as the other family sums it up, or the ends of the noise's box."""
        own = {name: parameters[name] for name in cls.of.parameter_dims}
        if component < len(own["loc"]):
            return cls.of.summarise(own, component, features)
        pairs = zip(np.ravel(parameters["low"]), np.ravel(parameters["high"]), strict=True)
        ends = [f"{low:.3g} to {high:.3g}" for low, high in pairs]
        where = by_feature(features, ends) if len(features) else ends[0]
        return f"anywhere, with the density of a uniform distribution from {where}"

    # ---- densities and statistics ------------------------------------------------------------

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula."""
        noise = -(~missing_cells(value) * jnp.log(self.high - self.low)).sum(-1)
        return jnp.where(self.noise, noise, self._of().pointwise(value))

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """As the other family does."""
        return self._clusters.prepare(value, missing=missing, centre=centre)

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """As many as the other family has."""
        return self._of().numbers_per_row(value, missing=missing)

    def centre(self, value: Array) -> Array:
        """As the other family does."""
        return self._of().centre(value)

    def _seen(self, prepared: Array, *, missing: bool) -> Array:
        """Which cells of prepared rows are observed, ``(feature, row)``, or 1s ``(1, row)``."""
        if not missing:
            return jnp.ones((1, prepared.shape[-1]), prepared.dtype)
        if self.factorises:
            return prepared[-self.event_shape[0] :]
        return (~missing_cells(prepared)).astype(prepared.dtype).T

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``."""
        clusters = self._clusters.logits(prepared, missing=missing, centre=centre)
        widths, seen = jnp.log(self.high - self.low), self._seen(prepared, missing=missing)
        noise = matmul(-widths, seen) if missing else -widths.sum() * seen[0]
        return jnp.concatenate([clusters, noise[None].astype(clusters.dtype)])

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Any:
        """Those of the other components, and how many cells of each feature are noise."""
        options: dict[str, Any] = {"missing": missing, "centre": centre}
        cells = matmul(self._seen(prepared, missing=missing), weights[-1])
        added = self._clusters.chunk_statistics(weights[:-1], prepared, **options)
        return {"clusters": added, "cells": jnp.broadcast_to(cells, self.event_shape)}

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """Those of the other family, and ``cells (feature,)``."""
        own = self._clusters.finalize(added["clusters"], missing=missing, centre=centre)
        return {**own, "cells": added["cells"]}

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        own, cells = _split(statistics)
        clusters = self._clusters.expected_log_density(own, centre)
        return jnp.append(clusters, -(cells * jnp.log(self.high - self.low)).sum())

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """That of the other family."""
        own, _ = _split(statistics)
        return self._clusters.conjugate_update(parameter, prior, own, centre, shared=shared)

    def collapsed(self, deviation: Array) -> Array:
        """As the other family says it; noise does not collapse."""
        return jnp.append(self._clusters.collapsed(deviation), False)

    # ---- draws -------------------------------------------------------------------------------

    def complete(self, key: Array, value: Array) -> Array:
        """Missing cells of noise anywhere in the box, others as the other family draws them."""
        own_key, noise_key = random.split(key)
        uniform = jnp.where(missing_cells(value), self._uniform(noise_key, value.shape), value)
        return jnp.where(self.noise[..., None], uniform, self._of().complete(own_key, value))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)``."""
        own_key, noise_key = random.split(key)
        own, shape = self._of().sample(own_key, sample_shape), self.shape(sample_shape)
        return jnp.where(self.noise[..., None], self._uniform(noise_key, shape), own)

    def _uniform(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.low + (self.high - self.low) * random.uniform(key, shape, self.low.dtype)

    @property
    def mean(self) -> Array:
        """The location; of noise the middle of the box."""
        return jnp.where(self.noise[..., None], (self.low + self.high) / 2, self._of().mean)

    @property
    def variance(self) -> Array:
        """Of every feature."""
        uniform = (self.high - self.low) ** 2 / 12
        return jnp.where(self.noise[..., None], uniform, self._of().variance)


def _split(statistics: Statistics) -> tuple[Statistics, Array]:
    """Statistics of the clusters, and cells of noise."""
    own = dict(statistics)
    return own, own.pop("cells")


class FullGaussianWithNoise(WithNoise, of=FullGaussian):
    """Rows of correlated normals, and noise.

    Args:
        loc: ``batch + (feature,)``.
        covariance: positive definite, ``batch + (feature, feature)``.
        low: least values of the box of the noise, ``(feature,)``.
        high: greatest values.
        noise: whether a component is the noise, ``batch``; with one batch axis the last one is.

    >>> box, noise = {"low": -jnp.ones(2), "high": jnp.ones(2)}, jnp.array([False, True])
    >>> eyes = jnp.ones((2, 1, 1)) * jnp.eye(2)
    >>> emission = FullGaussianWithNoise(loc=jnp.zeros((2, 2)), covariance=eyes, noise=noise, **box)
    >>> emission.log_prob(jnp.array([9.0, 9.0]))  # far off, and no less probable as noise
    Array([-82.837875 ,  -1.3862944], dtype=float32)
    """


class DiagonalGaussianWithNoise(WithNoise, of=DiagonalGaussian):
    """Rows of independent normals, and noise.

    Args:
        loc: ``batch + (feature,)``.
        scale: standard deviations, ``batch + (feature,)``.
        low: least values of the box of the noise, ``(feature,)``.
        high: greatest values.
        noise: whether a component is the noise, ``batch``; with one batch axis the last one is.

    >>> box, noise = {"low": -jnp.ones(2), "high": jnp.ones(2)}, jnp.array([False, True])
    >>> ones = jnp.ones((2, 2))
    >>> DiagonalGaussianWithNoise(loc=0 * ones, scale=ones, noise=noise, **box).variance[1]
    Array([0.33333334, 0.33333334], dtype=float32)
    """


class SphericalGaussianWithNoise(WithNoise, of=SphericalGaussian):
    """Rows of independent normals with one scale for all features, and noise.

    Args:
        loc: ``batch + (feature,)``.
        scale: one standard deviation, ``batch``.
        low: least values of the box of the noise, ``(feature,)``.
        high: greatest values.
        noise: whether a component is the noise, ``batch``; with one batch axis the last one is.

    >>> box, noise = {"low": -jnp.ones(2), "high": jnp.ones(2)}, jnp.array([False, True])
    >>> emission = SphericalGaussianWithNoise(
    ...     loc=jnp.zeros((2, 2)), scale=jnp.ones(2), noise=noise, **box
    ... )
    >>> sorted(emission.named_parameters())
    ['high', 'loc', 'low', 'scale']
    """
