"""Full conditionals of one parameter: the mode for EM, a draw for Gibbs sampling.

Each is the conjugate family written with the hyper-parameters that data have been added to. Flat
priors are the limits in which the hyper-parameters of the prior vanish, which no proper
distribution allows; hence these small classes and not NumPyro's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import jax.scipy.linalg as linalg
import numpy as np
from jax import Array, random
from jax.scipy.special import digamma, gammaln

from ppl_models.distributions.contraction import matmul

FREEDOM = 5.0  #: degrees of freedom of the proposals of a rate


class Conditional(Protocol):
    """A full conditional distribution, as EM and Gibbs sampling use it."""

    def mode(self) -> Array:
        """The most probable value."""
        ...

    def sample(self, key: Array) -> Array:
        """One draw."""
        ...


class DirichletConditional(NamedTuple):
    """Dirichlet on the last axis."""

    concentration: Array

    def mode(self) -> Array:
        """Normalised ``concentration - 1``, with entries below 1 put at the boundary."""
        excess = jnp.clip(self.concentration - 1, 0)
        total = excess.sum(-1, keepdims=True)
        mean = self.concentration / self.concentration.sum(-1, keepdims=True)
        return jnp.where(total > 0, excess / jnp.where(total > 0, total, 1), mean)

    def sample(self, key: Array) -> Array:
        """One draw."""
        return random.dirichlet(key, self.concentration)

    def sample_many(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """``count`` draws by NumPy, whose gamma variables take a fiftieth of the time of JAX's.

        >>> posterior = DirichletConditional(jnp.array([[1e-3, 1e-3], [3.0, 1.0]]))
        >>> drawn = posterior.sample_many(np.random.default_rng(0), 4000)
        >>> drawn.shape, (10 * drawn.mean(0)).round().tolist()
        ((4000, 2, 2), [[5.0, 5.0], [8.0, 2.0]])
        """
        concentration = np.asarray(self.concentration, np.float64)
        shape = (count, *concentration.shape)
        small = concentration < 0.1
        drawn = generator.standard_gamma(np.where(small, concentration + 1, concentration), shape)
        if small.any():  # G(a) is G(a + 1) U^(1/a), which underflows: by its logarithm
            logs = np.log(drawn)
            lower = np.log(generator.random((count, int(small.sum()))))
            logs[:, small] += lower / concentration[small]
            drawn = np.exp(logs - logs.max(-1, keepdims=True))
        drawn /= drawn.sum(-1, keepdims=True)
        return drawn.astype(self.concentration.dtype)

    def expected_log(self) -> Array:
        """E[log p].

        >>> DirichletConditional(jnp.array([1.0, 1.0])).expected_log().tolist()
        [-1.0, -1.0]
        """
        return digamma(self.concentration) - digamma(self.concentration.sum(-1, keepdims=True))

    def log_normaliser(self) -> Array:
        """log B, summed over all rows; its gain over the prior's is the log evidence.

        >>> float(jnp.exp(DirichletConditional(jnp.array([2.0, 1.0])).log_normaliser()).round(3))
        0.5
        """
        of_sums = gammaln(self.concentration.sum(-1))
        return (gammaln(self.concentration).sum(-1) - of_sums).sum()


class BlockDirichletConditional(NamedTuple):
    """Several Dirichlets concatenated on the last axis; ``blocks`` are their lengths."""

    concentration: Array
    blocks: tuple[int, ...]

    def by_block(self) -> list[DirichletConditional]:
        """The Dirichlet of every block."""
        edges = [sum(self.blocks[:i]) for i in range(1, len(self.blocks))]
        return [DirichletConditional(c) for c in jnp.split(self.concentration, edges, axis=-1)]

    def mode(self) -> Array:
        """The modes of the blocks."""
        return jnp.concatenate([block.mode() for block in self.by_block()], -1)

    def sample(self, key: Array) -> Array:
        """One draw of every block."""
        concentrations = [block.concentration for block in self.by_block()]
        return jnp.concatenate(draw_dirichlets(key, concentrations), -1)


def draw_dirichlets(
    key: Array, concentrations: Sequence[Array], shape: tuple[int, ...] | None = None
) -> list[Array]:
    """A draw of each of several Dirichlets of different lengths.

    Those of one length are drawn by one sampler, which is a long program to compile; each has a
    key of its own all the same, so that what is drawn does not depend on the others.

    Args:
        key: random key.
        concentrations: of each, ``(..., length)``.
        shape: of the draws without their last axis (default: that of the concentrations).

    >>> two, three = draw_dirichlets(random.key(0), [jnp.ones(2), jnp.ones(3)], (5,))
    >>> two.shape, three.shape
    ((5, 2), (5, 3))
    """
    keys = random.split(key, len(concentrations))
    lengths = [c.shape[-1] for c in concentrations]
    drawn: dict[int, Array] = {}
    for length in sorted(set(lengths)):
        alike = [i for i, other in enumerate(lengths) if other == length]
        stacked = jnp.stack([concentrations[i] for i in alike])
        each = jax.vmap(lambda k, c: random.dirichlet(k, c, shape))
        drawn |= dict(zip(alike, each(keys[np.array(alike)], stacked), strict=True))
    return [drawn[i] for i in range(len(concentrations))]


# lengths are shapes: in an argument of a compiled function they must stay the numbers they are
jax.tree_util.register_pytree_node(
    BlockDirichletConditional,
    lambda conditional: ((conditional.concentration,), conditional.blocks),
    lambda blocks, leaves: BlockDirichletConditional(*leaves, blocks),
)


class BetaConditional(NamedTuple):
    """Beta with pseudo-counts of ones and zeros."""

    ones: Array
    zeros: Array

    def mode(self) -> Array:
        """``(a - 1) / (a + b - 2)``, one half where nothing is known."""
        ones, zeros = jnp.clip(self.ones - 1, 0), jnp.clip(self.zeros - 1, 0)
        total = ones + zeros
        return jnp.where(total > 0, ones / jnp.where(total > 0, total, 1), 0.5)

    def sample(self, key: Array) -> Array:
        """One draw."""
        return random.beta(key, self.ones, self.zeros)

    def dirichlet(self) -> DirichletConditional:
        """The Dirichlet of the probabilities of a one and of a zero, on a last axis."""
        return DirichletConditional(jnp.stack([self.ones, self.zeros], -1))


class GammaConditional(NamedTuple):
    """Gamma with a shape and a rate."""

    concentration: Array
    rate: Array

    def mode(self) -> Array:
        """``(a - 1) / b``, at least the smallest positive number."""
        tiny = jnp.finfo(self.rate.dtype).tiny
        return jnp.clip((self.concentration - 1) / self.rate, tiny)

    def sample(self, key: Array) -> Array:
        """One draw."""
        tiny = jnp.finfo(self.rate.dtype).tiny
        return jnp.clip(random.gamma(key, self.concentration) / self.rate, tiny)

    def mean(self) -> Array:
        """``a / b``."""
        return self.concentration / self.rate

    def geometric_mean(self) -> Array:
        """exp E[log r].

        >>> round(float(GammaConditional(jnp.array(1.0), jnp.array(1.0)).geometric_mean()), 3)
        0.561
        """
        return jnp.exp(digamma(self.concentration)) / self.rate


class RateConditional(NamedTuple):
    """``p(r) ∝ r^(p - 1) exp(-a r - b / r)``, see :class:`.priors.rate.GeneralizedInverseGaussian`.

    Args:
        order: p.
        rate: a.
        barrier: b.
        current: the value of r that a draw moves on from.
    """

    order: Array
    rate: Array
    barrier: Array
    current: Array

    def mode(self) -> Array:
        """The positive root of ``a r² - (p - 1) r - b``.

        >>> float(RateConditional(*map(jnp.array, (6.0, 5.0, 0.0, 1.0))).mode())
        1.0
        """
        return self._root(self.order - 1)

    def sample(self, key: Array) -> Array:
        """One draw, or the current value where the proposal is refused.

        log r has a log-concave density. It is proposed from Student's t about that density's mode,
        with its curvature there: an independence sampler (Tierney 1994), which refuses few.
        """
        propose_key, accept_key = random.split(key)
        mode = self._root(self.order)
        width = (self.rate * mode + self.barrier / mode) ** -0.5
        noise = random.t(propose_key, FREEDOM, mode.shape, mode.dtype)
        before = (jnp.log(self.current) - jnp.log(mode)) / width
        gain = self._excess(mode, width, noise) - self._excess(mode, width, before)
        accepted = jnp.log(random.uniform(accept_key, mode.shape, mode.dtype)) < gain
        return jnp.where(accepted, mode * jnp.exp(width * noise), self.current)

    def _root(self, excess: Array) -> Array:
        """The positive root of ``a r² - excess r - b``."""
        root = jnp.sqrt(excess**2 + 4 * self.rate * self.barrier)
        # of a negative excess the same root without the difference that cancels
        below = 2 * self.barrier / jnp.where(excess < 0, root - excess, 1)
        mode = jnp.where(excess < 0, below, (root + excess) / (2 * self.rate))
        return jnp.clip(mode, jnp.finfo(self.rate.dtype).tiny)

    def _excess(self, mode: Array, width: Array, deviation: Array) -> Array:
        """Log ratio of target and proposal densities of log r, at a distance in widths."""
        step = width * deviation
        own = self.order * step - self.rate * mode * jnp.expm1(step)
        own -= self.barrier / mode * jnp.expm1(-step)
        return own + 0.5 * (FREEDOM + 1) * jnp.log1p(deviation**2 / FREEDOM)


class NormalConditional(NamedTuple):
    """Independent normals."""

    mean: Array
    precision: Array

    def mode(self) -> Array:
        """The mean."""
        return self.mean

    def sample(self, key: Array) -> Array:
        """One draw."""
        noise = random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + noise / jnp.sqrt(self.precision)


class MultivariateNormalConditional(NamedTuple):
    """Normals with a precision matrix each: ``linear = precision @ mean``."""

    linear: Array
    precision: Array
    shift: Array

    def mode(self) -> Array:
        """The mean."""
        if self.linear.shape[-1] == 1:  # no matrices, each of which is a call of a library
            return self.linear / self.precision[..., 0] + self.shift
        return jnp.linalg.solve(self.precision, self.linear[..., None])[..., 0] + self.shift

    def sample(self, key: Array) -> Array:
        """One draw, through the Cholesky factor of the precision."""
        factor = jnp.linalg.cholesky(self.precision)
        noise = random.normal(key, self.linear.shape, self.linear.dtype)[..., None]
        return self.mode() + linalg.solve_triangular(factor, noise, lower=True, trans=1)[..., 0]

    def covariance(self) -> Array:
        """Covariance matrices ``(..., feature, feature)``."""
        return jnp.linalg.inv(self.precision)


class InverseGammaScaleConditional(NamedTuple):
    """A scale whose square is inverse-gamma (see :class:`.priors.InverseGammaScale`)."""

    concentration: Array
    rate: Array

    def mode(self) -> Array:
        """``sqrt(2 b / (2 a + 1))``, at least the smallest number with a finite square."""
        tiny = jnp.sqrt(jnp.finfo(self.rate.dtype).tiny)
        variance = 2 * self.rate / jnp.clip(2 * self.concentration + 1, tiny)
        return jnp.clip(jnp.sqrt(jnp.clip(variance, 0)), tiny)

    def sample(self, key: Array) -> Array:
        """One draw."""
        return jnp.sqrt(self.rate / random.gamma(key, self.concentration, dtype=self.rate.dtype))


class InverseGammaConditional(NamedTuple):
    """A variance that is inverse-gamma."""

    concentration: Array
    rate: Array

    def mode(self) -> Array:
        """``b / (a + 1)``, at least the smallest positive number."""
        tiny = jnp.finfo(self.rate.dtype).tiny
        return jnp.clip(self.rate / jnp.clip(self.concentration + 1, tiny), tiny)

    def sample(self, key: Array) -> Array:
        """One draw."""
        return self.rate / random.gamma(key, self.concentration, dtype=self.rate.dtype)


class InverseWishartConditional(NamedTuple):
    """Inverse-Wishart with degrees of freedom and a scale matrix."""

    concentration: Array
    scale_matrix: Array

    def mode(self) -> Array:
        """``Psi / (nu + p + 1)``."""
        dimension = self.scale_matrix.shape[-1]
        divisor = jnp.clip(self.concentration + dimension + 1, 1e-12)
        return _symmetric(self.scale_matrix / jnp.asarray(divisor)[..., None, None])

    def sample(self, key: Array) -> Array:
        """One draw by Bartlett's decomposition of the Wishart of the precision."""
        dimension = self.scale_matrix.shape[-1]
        batch = self.scale_matrix.shape[:-2]
        dtype = self.scale_matrix.dtype
        normal_key, gamma_key = random.split(key)
        freedom = jnp.asarray(self.concentration)[..., None] - jnp.arange(dimension)
        freedom = jnp.broadcast_to(freedom, (*batch, dimension))
        diagonal = jnp.sqrt(2 * random.gamma(gamma_key, freedom / 2, dtype=dtype))
        below = jnp.tril(random.normal(normal_key, (*batch, dimension, dimension), dtype), -1)
        bartlett = below + diagonal[..., None] * jnp.eye(dimension, dtype=dtype)
        # Sigma = (L B^-T)(L B^-T)^T, where Psi = L L^T and the precision is L^-T B B^T L^-1
        factor = jnp.linalg.cholesky(self.scale_matrix)
        left = linalg.solve_triangular(bartlett, jnp.swapaxes(factor, -1, -2), lower=True)
        return _symmetric(matmul(jnp.swapaxes(left, -1, -2), left))

    def digammas(self) -> Array:
        """``Σ_i ψ((ν - i) / 2)``, which is E[log |Σ⁻¹|] but for ``p log 2 - log |Psi|``."""
        steps = jnp.arange(self.scale_matrix.shape[-1])
        return digamma(0.5 * (jnp.asarray(self.concentration)[..., None] - steps)).sum(-1)


def _symmetric(matrix: Array) -> Array:
    """The symmetric part: in float32 NumPyro rejects a matrix that rounding made asymmetric."""
    return 0.5 * (matrix + jnp.swapaxes(matrix, -1, -2))
