"""What ``numpyro.handlers.scale`` and ``mask`` do to a site: they multiply its log-density.

NumPyro multiplies a site's log-density by the scale of the handlers around it, and leaves out what
a mask hides. Both are one factor here, 0 where a mask hides the site.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    GammaPoisson,
    NegativeBinomial2,
    TransformedDistribution,
)
from numpyro.distributions.distribution import MaskedDistribution

from ppl_models.distributions.priors.scales_and_blocks import prior_density


def weigh(site: Mapping[str, Any]) -> tuple[Any, Any]:
    """A site's distribution without its mask, and the factor of its log-density.

    Args:
        site: of a trace, or a message of a handler.

    Returns:
        The distribution; the factor, None where it is 1, else an array that broadcasts with the
        site's log-density.

    >>> import numpyro.distributions as dist
    >>> masked = dist.Normal(jnp.zeros(2), 1.0).mask(jnp.array([True, False]))
    >>> weigh({"fn": masked, "scale": 3.0})[1].tolist()
    [3.0, 0.0]
    """
    fn, factor = compilable(site["fn"]), site.get("scale")
    factor = None if factor is None else jnp.asarray(factor, jnp.result_type(float))
    inner, masked = fn, False
    while isinstance(inner, ExpandedDistribution | MaskedDistribution):
        if isinstance(inner, MaskedDistribution):
            masked = True
            if inner._mask is not True:
                mask = jnp.asarray(inner._mask, bool)
                factor = jnp.where(mask, 1.0 if factor is None else factor, 0.0)
        inner = inner.base_dist
    if not masked:
        return fn, factor
    return inner.expand(fn.batch_shape) if inner.batch_shape != fn.batch_shape else inner, factor


def compilable(distribution: Any) -> Any:
    """The same distribution, of a class that JAX can take apart and put together again.

    NumPyro's hurdle negative binomial is built on one whose mean is a property and a field at once.

    >>> import jax, numpyro.distributions as dist
    >>> hurdle = dist.HurdleNegativeBinomial2(0.3, jnp.full(2, 4.0), 1.0)
    >>> copied = jax.tree.map(lambda v: v, compilable(hurdle))
    >>> bool(jnp.allclose(copied.log_prob(2), hurdle.log_prob(2)))
    True
    """
    base = getattr(distribution, "base_dist", None)
    if base is None or isinstance(distribution, TransformedDistribution):
        return distribution
    mended = compilable(base)
    if isinstance(base, NegativeBinomial2):
        same = GammaPoisson(base.concentration, base.rate)
        mended = same if same.batch_shape == base.batch_shape else base
    if mended is base:
        return distribution
    copied = copy(distribution)
    copied.base_dist = mended
    return copied


def is_weighed(site: Mapping[str, Any]) -> bool:
    """Whether a site may have a factor; of a trace whose numbers are not known, too.

    >>> import numpyro.distributions as dist
    >>> is_weighed({"fn": dist.Normal(0.0, 1.0).mask(False), "scale": None})
    True
    """
    inner = site["fn"]
    while isinstance(inner, ExpandedDistribution):
        inner = inner.base_dist
    return site.get("scale") is not None or isinstance(inner, MaskedDistribution)


def times(factor: Any, log_density: Any) -> Any:
    """A factor times log-densities; 0 where it is 0, whatever they are there."""
    if factor is None:
        return log_density
    return jnp.where(factor == 0, 0.0, factor * jnp.where(factor == 0, 0.0, log_density))


class ScaledPrior(Distribution):
    """A prior whose log-density is multiplied; no family is conjugate to it.

    Args:
        base: the prior.
        scale: the factor, which broadcasts with the prior's log-density.

    >>> import numpyro.distributions as dist
    >>> float(ScaledPrior(dist.Exponential(1.0), 2.0).log_prob(3.0))
    -6.0
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("base", "scale")

    def __init__(self, base: Any, scale: Any):
        self.base, self.scale = base, jnp.asarray(scale)
        shape = np.broadcast_shapes(base.batch_shape, self.scale.shape)
        super().__init__(shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """That of the prior."""
        return self.base.support

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Refused: a power of a density cannot be drawn from in general."""
        raise NotImplementedError("a scaled prior cannot be drawn from")

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """The prior's log-density times the factor."""
        scaled: Array = times(self.scale, prior_density(self.base, value))
        return scaled
