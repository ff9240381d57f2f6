"""Shapes of ellipsoids: the relative variances along their axes, whose product is 1."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from numpyro.distributions import Distribution, biject_to, constraints
from numpyro.distributions.transforms import Transform, ZeroSumTransform
from scipy.special import digamma, loggamma, polygamma

from ppl_models.distributions.conditionals import RateConditional

TOLERANCE = 1e-4  #: of the logarithm of the product that validation lets pass
NODES = 4001  #: of the integral of the normaliser
NEWTON_STEPS = 20


class _UnitProduct(constraints._SingletonConstraint):
    """Positive vectors with product 1; ``falling`` says where coordinates of zero lie."""

    event_dim = 1

    def __new__(cls, falling: bool) -> _UnitProduct:
        return object.__new__(cls)

    def __init__(self, falling: bool) -> None:
        self.falling = falling
        super().__init__()

    def __call__(self, x: Array) -> Array:
        positive = (x > 0).all(-1)
        logs = jnp.log(jnp.where(x > 0, x, 1))
        return positive & (jnp.abs(logs.sum(-1)) < TOLERANCE)

    def feasible_like(self, prototype: Array) -> Array:
        """A sphere."""
        return jnp.ones_like(prototype)

    def tree_flatten(self) -> tuple[tuple[()], tuple[Any, ...]]:
        return (), ((), {"falling": self.falling})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _UnitProduct) and self.falling == other.falling

    def __hash__(self) -> int:
        return hash(self.falling)


unit_product = _UnitProduct(False)
#: the same vectors; zero is mapped to falling values, so that axes begin in the order of their size
falling_product = _UnitProduct(True)


class UnitProductTransform(Transform):
    """Bijection of D - 1 numbers to positive vectors of D whose product is 1.

    Logarithms sum up to 0. Densities are taken in the volume of this hyperplane of logarithms, on
    which coordinates are orthonormal: the Jacobian is 1.

    Args:
        falling: add a fixed line from 1 down to -1 to the logarithms.
    """

    domain = constraints.real_vector

    def __init__(self, falling: bool) -> None:
        self.falling = falling

    @property
    def codomain(self) -> Any:
        """Vectors with product 1."""
        return _UnitProduct(self.falling)

    def _line(self, dimension: int) -> np.ndarray:
        return np.linspace(1, -1, dimension) * (self.falling and dimension > 1)

    def __call__(self, x: Array) -> Array:
        """The vector."""
        return jnp.exp(ZeroSumTransform(1)(x) + self._line(x.shape[-1] + 1))

    def _inverse(self, y: Array) -> Array:
        return ZeroSumTransform(1)._inverse(jnp.log(y) - self._line(y.shape[-1]))

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Any = None) -> Array:
        """Zero."""
        return jnp.zeros(x.shape[:-1], x.dtype)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One entry more, which the product determines."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One entry fewer."""
        return (*shape[:-1], shape[-1] - 1)

    def tree_flatten(self) -> tuple[tuple[()], tuple[Any, ...]]:
        """No leaves."""
        return (), ((), {"falling": self.falling})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitProductTransform) and self.falling == other.falling

    __hash__ = None  # type: ignore[assignment]


@biject_to.register(_UnitProduct)
def _biject_to_unit_product(constraint: _UnitProduct) -> UnitProductTransform:
    return UnitProductTransform(constraint.falling)


class AxisShape(Distribution):
    r"""Relative variances a of the axes of an ellipsoid, with product 1.

    ``p(a) ∝ exp(-½ κ Σ_d c_d / a_d)`` in the volume of log a, where c is the centre, divided by its
    geometric mean: the most probable shape is c, and no axis vanishes beside the others. Rows add
    their squares to ``κ c``: the prior counts as κ of them.

    Args:
        centre: c, ``batch + (axis,)``.
        concentration: κ.
        falling: see ``UnitProductTransform``.

    >>> shape = AxisShape(jnp.array([4.0, 1.0]), 1.0).sample(random.key(0), (5,))
    >>> shape.shape, bool(jnp.allclose(shape.prod(-1), 1))
    ((5, 2), True)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "centre": constraints.independent(constraints.positive, 1)
    }
    pytree_aux_fields = ("concentration", "falling")

    def __init__(
        self,
        centre: Any,
        concentration: float,
        falling: bool = False,
        *,
        validate_args: bool | None = None,
    ):
        self.centre, self.concentration = jnp.asarray(centre), float(concentration)
        self.falling = bool(falling)
        if not self.concentration > 0:
            raise ValueError(f"concentration is {concentration}: give a positive number")
        shape = self.centre.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Vectors with product 1."""
        return falling_product if self.falling else unit_product

    @property
    def rate(self) -> Array:
        """κ c, c of product 1."""
        logs = jnp.log(self.centre)
        return self.concentration * jnp.exp(logs - logs.mean(-1, keepdims=True))

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density in the volume of the logarithms."""
        constant = log_normaliser(self.concentration, self.event_shape[0])
        return -0.5 * (self.rate / value).sum(-1) - constant

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (axis,)``.

        Inverse gammas of concentration α over their geometric mean have a density proportional to
        T^(-Dα), T = Σ κ c_d / a_d. A draw is kept with a probability proportional to
        T^(Dα) exp(-½ T).
        """
        shape = sample_shape + self.batch_shape + self.event_shape
        dimension = shape[-1]
        alpha = _saddle(self.concentration)
        peak = 2 * dimension * alpha

        def going(state: Any) -> Array:
            return ~state[2].all()

        def propose(state: Any) -> Any:
            key, drawn, settled = state
            key, gamma_key, accept_key = random.split(key, 3)
            logs = random.loggamma(gamma_key, alpha, shape, drawn.dtype)
            logs = logs - logs.mean(-1, keepdims=True)  # of κ c / a, over their geometric mean
            total = self.concentration * jnp.exp(logs).sum(-1)
            ratio = 0.5 * (peak - total) + 0.5 * peak * (jnp.log(total) - math.log(peak))
            accepted = jnp.log(random.uniform(accept_key, total.shape, drawn.dtype)) < ratio
            fresh = accepted & ~settled
            return key, jnp.where(fresh[..., None], logs, drawn), settled | accepted

        dtype = jnp.result_type(self.centre, float)
        blank = (key, jnp.zeros(shape, dtype), jnp.zeros(shape[:-1], bool))
        _, logs, _ = lax.while_loop(going, propose, blank)
        return self.rate / self.concentration * jnp.exp(-logs)


def _saddle(concentration: float) -> float:
    """α with ψ(α) = log ½κ: Γ(s) (½κ)^-s is least there."""
    target = math.log(concentration / 2)
    from scipy.optimize import brentq

    return math.exp(brentq(lambda log: digamma(math.exp(log)) - target, -50, 50))


def log_normaliser(concentration: float, dimension: int) -> float:
    """log ∫ exp(-½ κ Σ_d exp(-u_d)) du over the hyperplane Σ u = 0.

    The Laplace transform of the integral over Σ u = t is ``(Γ(s) (½κ)^-s)^D``; its inverse at 0 is
    an integral along a line through the saddle point, where nothing cancels.

    >>> from scipy.special import k0
    >>> bool(np.isclose(log_normaliser(3.0, 2), np.log(2 ** 1.5 * k0(3.0))))
    True
    """
    if dimension == 1:
        return -0.5 * concentration
    saddle = _saddle(concentration)
    width = (dimension * float(polygamma(1, saddle))) ** -0.5
    along = np.linspace(-30 * width, 30 * width, NODES)
    at = saddle + 1j * along

    def exponent(s: Any) -> Any:
        return dimension * (loggamma(s) - s * math.log(concentration / 2))

    peak = float(exponent(saddle))
    integral = np.exp(exponent(at) - peak).real.sum() * (along[1] - along[0])
    return peak + math.log(integral / (2 * math.pi)) + 0.5 * math.log(dimension)


class AxisShapeConditional(NamedTuple):
    """``p(a) ∝ Π_d a_d^(-n_d / 2) exp(-½ Σ_d rate_d / a_d)`` on vectors with product 1.

    Args:
        counts: n, the cells that were seen along every axis, ``(..., axis)``. Where all are equal
            they cancel.
        rate: ``(..., axis)``.
        current: the shape that a draw moves on from.
    """

    counts: Array
    rate: Array
    current: Array

    def mode(self) -> Array:
        """The rates over ``n + λ``, where λ makes the product 1, by Newton's method.

        In ``x = log(λ + min n)`` the condition ``Σ log(n - min n + e^x) = Σ log rate`` is convex
        and increasing, and begun above its root: it converges, of equal counts in the first step.
        """
        logs = jnp.log(self.rate)
        above = self.counts - self.counts.min(-1, keepdims=True)
        begin = logs.mean(-1, keepdims=True)

        def newton(_: Any, x: Array) -> Array:
            excess = jnp.log(above + jnp.exp(x)) - logs
            slope = (jnp.exp(x) / (above + jnp.exp(x))).sum(-1, keepdims=True)
            return x - excess.sum(-1, keepdims=True) / slope

        root = lax.fori_loop(0, NEWTON_STEPS, newton, begin)
        logs = logs - jnp.log(above + jnp.exp(root))
        return jnp.exp(logs - logs.mean(-1, keepdims=True))

    def sample(self, key: Array) -> Array:
        """The shape after a step of every two axes, which exchange a factor.

        That factor r of axis i, whose inverse is axis j's, has the density
        ``r^(½ (n_j - n_i) - 1) exp(-½ (rate_j / a_j) r - ½ (rate_i / a_i) / r)``.
        """
        dimension = self.rate.shape[-1]
        pairs = np.stack(np.triu_indices(dimension, 1), 1)
        if not len(pairs):
            return self.current

        def exchange(shape: Array, pair: Any) -> tuple[Array, None]:
            (i, j), own_key = pair
            ratio = 0.5 * self.rate / shape
            order = 0.5 * (self.counts[..., j] - self.counts[..., i])
            one = jnp.ones_like(order)
            factor = RateConditional(order, ratio[..., j], ratio[..., i], one).sample(own_key)
            return shape.at[..., i].multiply(factor).at[..., j].divide(factor), None

        exchanges = (jnp.asarray(pairs), random.split(key, len(pairs)))
        drawn, _ = lax.scan(exchange, self.current, exchanges)
        logs = jnp.log(drawn)
        return jnp.exp(logs - logs.mean(-1, keepdims=True))
