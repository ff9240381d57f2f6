"""Priors that NumPyro lacks: inverse-gamma on a squared scale, and blocks of Dirichlets."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from jax.scipy.special import gammaln
from numpyro.distributions import (
    Dirichlet,
    Distribution,
    ExpandedDistribution,
    Gamma,
    Independent,
    biject_to,
    constraints,
)
from numpyro.distributions.transforms import StickBreakingTransform, Transform

from ppl_models.distributions.conditionals import draw_dirichlets


def plain(prior: Any) -> Any:
    """The prior of one number or vector, without plates and expanded axes."""
    while isinstance(prior, ExpandedDistribution | Independent):
        prior = prior.base_dist
    return prior


def prior_density(prior: Any, value: Array) -> Array:
    """Log-density of a prior, also at the boundary of its support.

    NumPyro's Dirichlet and gamma of concentration 1 are not a number where a probability or a rate
    is 0 (they multiply 0 by log 0): there the best assignments leave what was never seen.

    >>> from numpyro.distributions import Dirichlet
    >>> round(float(prior_density(Dirichlet(jnp.ones(3)), jnp.array([0.5, 0.5, 0.0]))), 3)
    0.693
    """
    one = plain(prior)
    if not isinstance(one, Dirichlet | Gamma):
        return prior.log_prob(value)
    flat = (value == 0) & (one.concentration == 1)
    return prior.log_prob(jnp.where(flat, jnp.finfo(value.dtype).tiny, value))


class InverseGammaScale(Distribution):
    r"""A positive scale σ with σ² ~ InverseGamma(concentration a, rate b).

    p(σ) = 2 b^a / Γ(a) σ^(-2a-1) exp(-b / σ²): conjugate for the scale of a Gaussian, and zero at
    σ = 0, so that a component cannot collapse onto one row. Richardson and Green (1997).

    >>> from jax import random
    >>> float(InverseGammaScale(2.0, 1.0).log_prob(1.0))  # log 2 - 1
    -0.3068...
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive

    def __init__(self, concentration: Any, rate: Any, *, validate_args: bool | None = None):
        self.concentration, self.rate = jnp.asarray(concentration), jnp.asarray(rate)
        shape = lax.broadcast_shapes(self.concentration.shape, self.rate.shape)
        super().__init__(shape, (), validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws of the scale."""
        gamma = random.gamma(key, self.concentration, sample_shape + self.batch_shape)
        return jnp.sqrt(self.rate / gamma)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density of the scale."""
        a, b = self.concentration, self.rate
        return (
            jnp.log(2.0) + a * jnp.log(b) - gammaln(a) - (2 * a + 1) * jnp.log(value) - b / value**2
        )

    @property
    def mean(self) -> Array:
        """``√b Γ(a - ½) / Γ(a)``; infinite where a is at most a half."""
        a = jnp.maximum(self.concentration, 0.5)
        mean = jnp.sqrt(self.rate) * jnp.exp(gammaln(a - 0.5) - gammaln(a))
        return jnp.where(self.concentration > 0.5, mean, jnp.inf)


class _SimplexBlocks(constraints._SingletonConstraint):
    """Concatenated simplexes of given lengths."""

    event_dim = 1

    def __new__(cls, blocks: tuple[int, ...]) -> _SimplexBlocks:
        return object.__new__(cls)

    def __init__(self, blocks: tuple[int, ...]) -> None:
        self.blocks = tuple(int(b) for b in blocks)
        super().__init__()

    def __call__(self, x: Array) -> Array:
        parts = split_blocks(x, self.blocks)
        good = [((p >= 0).all(-1)) & (jnp.abs(p.sum(-1) - 1) < 1e-4) for p in parts]
        return jnp.stack(good, -1).all(-1)

    def feasible_like(self, prototype: Array) -> Array:
        """Equal shares."""
        parts = [jnp.full_like(p, 1 / p.shape[-1]) for p in split_blocks(prototype, self.blocks)]
        return jnp.concatenate(parts, -1)

    def tree_flatten(self) -> tuple[tuple[()], tuple[Any, ...]]:
        return (), ((), {"blocks": self.blocks})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SimplexBlocks) and self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash(self.blocks)


class StickBreakingBlocks(Transform):
    """Bijection to concatenated simplexes: stick breaking within every block."""

    domain = constraints.real_vector

    def __init__(self, blocks: tuple[int, ...]) -> None:
        self.blocks = tuple(blocks)

    @property
    def codomain(self) -> Any:
        """Concatenated simplexes."""
        return _SimplexBlocks(self.blocks)

    @property
    def _free(self) -> tuple[int, ...]:
        return tuple(b - 1 for b in self.blocks)

    def __call__(self, x: Array) -> Array:
        """Stick breaking within every block."""
        transform = StickBreakingTransform()
        return jnp.concatenate([transform(p) for p in split_blocks(x, self._free)], -1)

    def _inverse(self, y: Array) -> Array:
        transform = StickBreakingTransform()
        return jnp.concatenate([transform.inv(p) for p in split_blocks(y, self.blocks)], -1)

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Any = None) -> Array:
        """Sum of the blocks' log-determinants."""
        transform = StickBreakingTransform()
        pairs = zip(split_blocks(x, self._free), split_blocks(y, self.blocks), strict=True)
        return sum(transform.log_abs_det_jacobian(a, b) for a, b in pairs)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Each block gains the entry that its sum determines."""
        return shape[:-1] + (shape[-1] + len(self.blocks),)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Each block loses the entry that its sum determines."""
        return shape[:-1] + (shape[-1] - len(self.blocks),)

    def tree_flatten(self) -> tuple[tuple[()], tuple[Any, ...]]:
        """No leaves: the lengths are static."""
        return (), ((), {"blocks": self.blocks})


@biject_to.register(_SimplexBlocks)
def _biject_to_simplex_blocks(constraint: _SimplexBlocks) -> StickBreakingBlocks:
    return StickBreakingBlocks(constraint.blocks)


class BlockDirichlet(Distribution):
    """Independent Dirichlets of unequal lengths, concatenated on the last axis.

    The prior of the level probabilities of several categorical features: one site, one axis.

    Gelman et al. (2013), Bayesian Data Analysis, §3.4.

    Args:
        concentration: ``batch + (sum of blocks,)``.
        blocks: the length of every block.

    >>> BlockDirichlet(jnp.ones(5), (3, 2)).log_prob(jnp.array([0.2, 0.3, 0.5, 0.4, 0.6])).shape
    ()
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.independent(constraints.positive, 1)
    }
    pytree_aux_fields = ("blocks",)

    def __init__(
        self, concentration: Any, blocks: tuple[int, ...], *, validate_args: bool | None = None
    ):
        self.concentration = jnp.asarray(concentration)
        self.blocks = tuple(int(b) for b in blocks)
        shape = self.concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Concatenated simplexes."""
        return _SimplexBlocks(self.blocks)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (sum of blocks,)``."""
        parts = split_blocks(self.concentration, self.blocks)
        return jnp.concatenate(draw_dirichlets(key, parts, sample_shape + self.batch_shape), -1)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Sum of the Dirichlets' log-densities."""
        total = jnp.zeros(())
        parts = zip(
            split_blocks(jnp.asarray(value), self.blocks),
            split_blocks(self.concentration, self.blocks),
            strict=True,
        )
        for probs, concentration in parts:
            kernel = jax.scipy.special.xlogy(concentration - 1, probs).sum(-1)
            total += kernel + gammaln(concentration.sum(-1)) - gammaln(concentration).sum(-1)
        return total


def split_blocks(array: Array, blocks: tuple[int, ...]) -> list[Array]:
    """Split the last axis into blocks of the given lengths.

    >>> [p.tolist() for p in split_blocks(jnp.arange(3), (2, 1))]
    [[0, 1], [2]]
    """
    return jnp.split(array, np.cumsum(blocks)[:-1].tolist(), axis=-1)
