"""Rotation matrices, as the axes of ellipsoids: their coordinates, prior and full conditional.

An ellipsoid's axes have no signs: of the 2^(D - 1) rotations that mean the same, :func:`canonical`
takes one whose Cayley coordinates are bounded.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from numpyro.distributions import Distribution, biject_to, constraints
from numpyro.distributions.transforms import Transform
from numpyro.distributions.util import von_mises_centered

from ppl_models.distributions.contraction import matmul

SWEEPS = 50  #: most sweeps of plane rotations in one maximisation
LEAST_TURN = 1e-6  #: an angle by which all axes turn less ends them: the next is its square
TOLERANCE = 1e-4  #: of the products of axes that validation lets pass


class _Rotation(constraints._SingletonConstraint):
    """Rotation matrices: orthogonal, with determinant 1."""

    event_dim = 2

    def __call__(self, x: Array) -> Array:
        products = matmul(jnp.swapaxes(x, -1, -2), x)
        orthogonal = (jnp.abs(products - jnp.eye(x.shape[-1])) < TOLERANCE).all((-1, -2))
        return orthogonal & (jnp.linalg.det(x) > 0)

    def feasible_like(self, prototype: Array) -> Array:
        """The axes of the features."""
        return jnp.broadcast_to(jnp.eye(prototype.shape[-1]), jnp.shape(prototype))


rotation = _Rotation()


class CayleyTransform(Transform):
    """Bijection of D (D - 1) / 2 numbers, a skew matrix A, to the rotation ``(I + A)^-1 (I - A)``.

    The density of a rotation is taken relative to the uniform distribution (Haar's measure), so
    that the Jacobian is ``2^(D (D - 1) / 2) / Vol(SO(D)) det(I + A)^-(D - 1)``. The inverse takes
    the coordinates of :func:`canonical`, which turns axes round where their rotation has unbounded
    ones. León, Massé and Rivest (2006), A statistical model for random rotations.

    >>> float(CayleyTransform().log_abs_det_jacobian(jnp.zeros(1), None))  # a Cauchy density, 1 / π
    -1.144...
    """

    domain = constraints.real_vector
    codomain = rotation

    def __call__(self, x: Array) -> Array:
        """The rotation."""
        skew, eye = _skew(x), jnp.eye(_dimension(x.shape[-1]), dtype=x.dtype)
        return jnp.linalg.solve(eye + skew, eye - skew)

    def _inverse(self, y: Array) -> Array:
        y, eye = canonical(y), jnp.eye(y.shape[-1], dtype=y.dtype)
        # (I - A) = (I + A) Q, so that A = (I - Q) (I + Q)^-1, a product of matrices that commute
        skew = jnp.linalg.solve(eye + y, eye - y)
        row, column = np.triu_indices(y.shape[-1], 1)
        return skew[..., row, column]

    def log_abs_det_jacobian(self, x: Array, y: Any, intermediates: Any = None) -> Array:
        """Log-density of the coordinates of a uniformly distributed rotation."""
        dimension = _dimension(x.shape[-1])
        if dimension == 1:
            return jnp.zeros(x.shape[:-1], x.dtype)
        _, log_determinant = jnp.linalg.slogdet(jnp.eye(dimension, dtype=x.dtype) + _skew(x))
        constant = x.shape[-1] * math.log(2) - _log_volume(dimension)
        return constant - (dimension - 1) * log_determinant

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A matrix of so many coordinates."""
        return (*shape[:-1], *[_dimension(shape[-1])] * 2)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The coordinates of a matrix."""
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)

    def tree_flatten(self) -> tuple[tuple[()], tuple[Any, ...]]:
        """No leaves."""
        return (), ((), {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CayleyTransform)

    __hash__ = None  # type: ignore[assignment]


@biject_to.register(_Rotation)
def _biject_to_rotation(constraint: _Rotation) -> CayleyTransform:
    return CayleyTransform()


def _dimension(coordinates: int) -> int:
    return (1 + math.isqrt(1 + 8 * coordinates)) // 2


def _skew(x: Array) -> Array:
    dimension = _dimension(x.shape[-1])
    row, column = np.triu_indices(dimension, 1)
    upper = jnp.zeros((*x.shape[:-1], dimension, dimension), x.dtype).at[..., row, column].set(x)
    return upper - jnp.swapaxes(upper, -1, -2)


def _log_volume(dimension: int) -> float:
    """Of SO(D), in the measure of the products of axes' differentials."""
    spheres = [
        math.log(2) + 0.5 * i * math.log(math.pi) - math.lgamma(0.5 * i)
        for i in range(1, dimension + 1)
    ]
    return sum(spheres) - math.log(2)


def canonical(axes: Array) -> Array:
    """Orthogonal matrices with signs of their columns such that no angle of rotation is near π.

    Signs are chosen in an elimination of ``I + Q S`` that makes every pivot at least 1, so that its
    determinant is at least 1: Cayley coordinates are bounded, and the determinant of ``Q S`` is 1.

    Args:
        axes: ``(..., D, D)``, orthogonal.

    >>> canonical(-jnp.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    dimension = axes.shape[-1]
    index = jnp.arange(dimension)

    def eliminate(j: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        left, signs = state
        own = left[j, j]
        sign = jnp.where(own < 0, -1.0, 1.0).astype(left.dtype)
        factor = jnp.where(index > j, sign * left[:, j] / (1 + jnp.abs(own)), 0)
        later = jnp.where(index > j, left[j], 0)
        return left - factor[:, None] * later, signs.at[j].set(sign)

    def of_one(axes: Array) -> Array:
        blank = jnp.ones(dimension, axes.dtype)
        return axes * lax.fori_loop(0, dimension, eliminate, (axes, blank))[1]

    return jnp.vectorize(of_one, signature="(d,d)->(d,d)")(axes)


class UniformRotation(Distribution):
    """Rotations of which none is preferred (Haar's measure), in which densities are 1.

    Args:
        features: D.

    >>> UniformRotation(3).sample(random.key(0), (5,)).shape
    (5, 3, 3)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = rotation
    pytree_aux_fields = ("features",)

    def __init__(self, features: int, *, validate_args: bool | None = None):
        self.features = int(features)
        super().__init__((), (self.features, self.features), validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Rotations ``sample_shape + (feature, axis)``."""
        noise = random.normal(key, (*sample_shape, self.features, self.features))
        axes, upper = jnp.linalg.qr(noise)
        axes = axes * jnp.sign(jnp.diagonal(upper, axis1=-2, axis2=-1))[..., None, :]
        first = jnp.where(jnp.linalg.det(axes) < 0, -1.0, 1.0)
        return axes.at[..., 0].multiply(first[..., None])

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Zero."""
        return jnp.zeros(jnp.shape(value)[:-2], jnp.result_type(float))


class RotationConditional(NamedTuple):
    """``p(Q) ∝ exp(-½ Σ_m tr(P_m Q' M_m Q))`` with diagonal P: a product of matrix Binghams.

    Args:
        matrices: M, ``(rotation, m, D, D)``, symmetric.
        precisions: the diagonals of P, ``(rotation, m, D)``.
        current: the rotations that a step moves on from, ``(rotation, D, D)``.
        shared: whether there is one rotation, without an axis of its own.
    """

    matrices: Array
    precisions: Array
    current: Array
    shared: bool

    def mode(self) -> Array:
        """A rotation of no less density than the current one.

        Of one matrix it is the mode: the eigenvectors, the largest eigenvalue's where the precision
        is least. Of several it is reached by rotations within the planes of two axes, the best of
        which has a closed form, see :meth:`_sweep`; Flury and Gautschi (1986), An algorithm for
        simultaneous orthogonal transformation.
        """
        if self.matrices.shape[1] == 1:
            _, axes = jnp.linalg.eigh(self.matrices[:, 0])  # from the smallest eigenvalue up
            order = jnp.argsort(jnp.argsort(-self.precisions[:, 0], axis=-1), axis=-1)
            moved = jnp.take_along_axis(axes, order[:, None, :], axis=-1)
        else:
            moved = self._gibbs_sweep()
        return self._returned(moved)

    def sample(self, key: Array) -> Array:
        """The rotation after a Gibbs step in every plane of two axes; Hoff (2009), section 3.2."""
        return self._returned(self._sweep(self.current, self._turned(), key)[0])

    def _gibbs_sweep(self) -> Array:
        """The axes when no rotation in a plane raises the density any more."""

        def going(state: Any) -> Array:
            sweeps, _, _, largest = state
            return (sweeps < SWEEPS) & (largest > LEAST_TURN)

        def sweep(state: Any) -> Any:
            sweeps, axes, turned, _ = state
            return sweeps + 1, *self._sweep(axes, turned, None)

        begin = (0, self.current, self._turned(), jnp.asarray(jnp.inf, self.current.dtype))
        return lax.while_loop(going, sweep, begin)[1]

    def _turned(self) -> Array:
        """The matrices in the coordinates of the axes, ``Q' M Q``."""
        q = self.current[:, None]
        return matmul(jnp.swapaxes(q, -1, -2), matmul(self.matrices, q))

    def _returned(self, axes: Array) -> Array:
        # rounding adds up over many planes: a step to the nearest orthogonal matrix
        products = matmul(jnp.swapaxes(axes, -1, -2), axes)
        axes = matmul(axes, 1.5 * jnp.eye(axes.shape[-1], dtype=axes.dtype) - 0.5 * products)
        axes = canonical(axes)
        return axes[0] if self.shared else axes

    def _sweep(self, axes: Array, turned: Array, key: Array | None) -> tuple[Array, Array, Array]:
        """The axes, the matrices and the largest angle after a rotation in every plane.

        Of two axes i, j it is the best one or, with a key, a draw. By an angle φ it changes the
        exponent to ``a cos 2φ + b sin 2φ``, where ``a = -¼ Σ (p_i - p_j) (m_ii - m_jj)`` and
        ``b = -½ Σ (p_i - p_j) m_ij``: 2φ has a von Mises distribution, of which the best is its
        mean.
        """
        dimension = axes.shape[-1]
        pairs = np.stack(np.triu_indices(dimension, 1), 1)
        if not len(pairs):
            return axes, turned, jnp.zeros((), axes.dtype)

        def rotate(state: tuple[Array, Array], pair: Any) -> Any:
            axes, turned = state
            (i, j), own_key = pair
            apart = self.precisions[..., i] - self.precisions[..., j]
            own = turned[..., i, i] - turned[..., j, j]
            a = -0.25 * (apart * own).sum(-1)
            b = -0.5 * (apart * turned[..., i, j]).sum(-1)
            angle = jnp.arctan2(b, a)
            if own_key is not None:
                angle = angle + von_mises_centered(
                    own_key, jnp.hypot(a, b), angle.shape, angle.dtype
                )
            angle = 0.5 * jnp.arctan2(jnp.sin(angle), jnp.cos(angle))
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            axes = _mixed(axes, i, j, cos[:, None], sin[:, None], -1)
            turned = _mixed(turned, i, j, cos[:, None, None], sin[:, None, None], -1)
            turned = _mixed(turned, i, j, cos[:, None, None], sin[:, None, None], -2)
            return (axes, turned), jnp.abs(sin).max()

        keys = None if key is None else random.split(key, len(pairs))
        (axes, turned), turns = lax.scan(rotate, (axes, turned), (jnp.asarray(pairs), keys))
        return axes, turned, turns.max()


def _mixed(matrix: Array, i: Any, j: Any, cos: Array, sin: Array, axis: int) -> Array:
    """Columns (or rows) i and j rotated into each other."""
    matrix = jnp.moveaxis(matrix, axis, -1)
    one, other = matrix[..., i], matrix[..., j]
    matrix = matrix.at[..., i].set(cos * one + sin * other)
    matrix = matrix.at[..., j].set(cos * other - sin * one)
    return jnp.moveaxis(matrix, -1, axis)
