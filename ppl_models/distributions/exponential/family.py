"""The base of every emission: an exponential family whose log-density is a contraction.

For a datum x and a component k,

    log p(x | k) = <eta_k, T(x)> - A(eta_k) + h(x),

so the log-densities of all rows under all components are one matrix product of the natural
parameters with the sufficient statistics. The same statistics, weighted by responsibilities and
summed over rows, are all that an update of the parameters ever needs to see.

A new family is one file: subclass :class:`ExponentialFamily` and write the methods below; the
contract test finds it by itself.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpyro.distributions import Distribution

from ppl_models.distributions.described import Described

Statistics = dict[str, Array]
#: Numbers of a product that is written out, to be fused with what is done with it.
FEW = 40


class ExponentialFamily(Described, Distribution):
    """A family with natural parameters, sufficient statistics and a log-normaliser.

    A family is written for parameters with one batch axis, the component, and data with one, the
    row. :meth:`log_prob` takes any other broadcasting through :meth:`pointwise`.
    """

    #: parameter name -> number of event axes of that parameter
    parameter_dims: ClassVar[Mapping[str, int]]
    #: parameter name -> names of its event axes in a result; axes without names are counted
    parameter_axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: parameters that a component cannot have for itself (a tied covariance)
    shared_parameters: ClassVar[tuple[str, ...]] = ()
    #: whether the density factorises over features, so that a missing cell drops out
    factorises: ClassVar[bool] = True
    #: whether the statistics of rows with missing cells are what is expected of them
    expects_missing: ClassVar[bool] = True
    #: whether a datum hides something itself (a path), so that its statistics are expected ones
    latent: ClassVar[bool] = False
    #: whether missing cells can be filled in with their most probable values
    fills_in: ClassVar[bool] = False
    #: what the data must be, for messages
    data_description: ClassVar[str] = "real numbers"

    # ---- what a family writes ----------------------------------------------------------------

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Any:
        """What every pass over ``value (row, ...)`` needs, whatever the parameters.

        The fewer numbers a pass has to make anew, the nearer it comes to its two products.
        """
        return value

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)`` of :meth:`prepare`'s rows, by matrix products."""
        raise NotImplementedError

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Any:
        """Statistics of one chunk of rows, to be summed over chunks and passed to `finalize`."""
        raise NotImplementedError

    def finalize(self, added: Any, *, missing: bool) -> Statistics:
        """Statistics by name from the sum of :meth:`chunk_statistics` over all chunks."""
        return added

    def prepared_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """:meth:`expected_statistics` of rows that are prepared already."""
        added = self.chunk_statistics(weights, prepared, missing=missing, centre=centre)
        return self.finalize(added, missing=missing)

    def infer_latents(
        self,
        prepared: Any,
        *,
        missing: bool,
        centre: Array,
        how: str = "mean",
        key: Array | None = None,
    ) -> tuple[Array, Any]:
        """Log-densities ``(component, row)``, and the rows with the posterior of what they hide.

        The rows that are returned are those that :meth:`prepared_statistics` takes. A family
        without latent variables of its own (``latent``) returns them as they are.

        Args:
            prepared: rows, see :meth:`prepare`.
            missing: whether cells are missing.
            centre: the shift of the rows.
            how: what becomes of the latent variables: "mean" sums them out, "best" takes the most
                probable values, "draw" draws them.
            key: random key of draws.
        """
        return self.logits(prepared, missing=missing, centre=centre), prepared

    def lengths(self, value: np.ndarray) -> np.ndarray | None:
        """Positions of every row that a pass needs, ``(row,)``; None: rows do not end."""
        return None

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """Where the probability is zero, ``(component, row)``; None: nowhere.

        :meth:`logits` take the logarithm of the smallest number for that of zero, so that nothing
        times nothing is nothing.
        """
        return None

    def has_missing_cells(self, value: Any) -> bool:
        """Whether cells of concrete data are missing: NaN, or a negative code among integers."""
        codes = np.issubdtype(np.asarray(value).dtype, np.integer) and self.event_dim
        return has_missing(value) or bool(codes and (np.asarray(value) < 0).any())

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula, with NumPy broadcasting of batch axes."""
        raise NotImplementedError

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``sum_n weights[k, n] log p(x_n | k)`` as ``(component,)``, from the statistics."""
        raise NotImplementedError

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """The posterior of one parameter given the others, or None where it is not conjugate.

        Args:
            parameter: name of the parameter.
            prior: its prior (None: flat), with parameters of the shape of the parameter.
            statistics: expected statistics of all components.
            centre: the shift under which the statistics were taken.
            shared: whether all components have the same value.
        """
        return None

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """Numbers that a pass has at hand for each row, to cut chunks that fit a cache."""
        prepared = jax.eval_shape(
            lambda v: self.prepare(v, missing=missing, centre=self.centre(v)),
            jnp.asarray(value[:1]),
        )
        return math.prod(prepared.shape) + 2 * math.prod(self.batch_shape)

    def complete(self, key: Array, value: Array) -> Array:
        """Draw the missing cells (NaN) of ``value`` given the observed ones.

        Args:
            key: random key.
            value: ``batch_shape + event_shape``.
        """
        drawn = self.sample(key)
        return jnp.where(jnp.isnan(value), drawn, value)

    def most_probable(self, value: Array) -> Array:
        """Fill in the most probable missing cells of ``value``, as :meth:`complete` draws them."""
        raise NotImplementedError

    def collapsed(self, deviation: Array) -> Array:
        """Whether a component has shrunk onto a row or a plane, ``(component,)``.

        Args:
            deviation: standard deviation of every feature of the data.
        """
        return jnp.zeros(self.batch_shape, bool)

    def centre(self, value: Array) -> Array:
        """A point amid the data that both data and locations may be shifted by (default: none)."""
        return jnp.zeros(())

    def start_points(self, value: Array) -> Array:
        """Rows as points ``(row, coordinate)`` among which starts can be spread (NaN: missing)."""
        return value.reshape(value.shape[0], -1)

    # ---- what every family gets --------------------------------------------------------------

    def contract(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)`` of ``value (row, ...)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        return self.logits(prepared, missing=missing, centre=centre)

    def expected_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Sufficient statistics summed over rows under ``weights (component, row)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        return self.prepared_statistics(weights, prepared, missing=missing, centre=centre)

    def components(self) -> ExponentialFamily:
        """The same family with all batch axes flattened into one, the component."""
        count = math.prod(self.batch_shape)
        arguments = {}
        for name, dims in self.parameter_dims.items():
            parameter = jnp.asarray(getattr(self, name))
            event = parameter.shape[parameter.ndim - dims :]
            if name not in self.shared_parameters:
                parameter = jnp.broadcast_to(parameter, self.batch_shape + event)
                parameter = parameter.reshape((count, *event))
            arguments[name] = parameter
        return self.replace(**arguments)

    def replace(self, **parameters: Array) -> ExponentialFamily:
        """The same family with other parameters."""
        merged = {name: getattr(self, name) for name in self.parameter_dims} | parameters
        return type(self)(**merged, **self.static_arguments(), validate_args=False)

    def static_arguments(self) -> dict[str, Any]:
        """Arguments of the constructor that are not parameters."""
        return {}

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density; cells that are NaN are marginalised."""
        known = None if isinstance(value, jax.core.Tracer) else has_missing(value)
        value = jnp.asarray(value)
        if not self._is_contraction(value):
            return self.pointwise(value)
        flat = self.components()
        centre = lax.stop_gradient(flat.centre(value))

        def contract(missing: bool) -> Array:
            return flat.contract(value, missing=missing, centre=centre)

        if known is not None or not jnp.issubdtype(value.dtype, jnp.floating):
            logits = contract(bool(known))
        else:  # one cheap pass decides which of the two products is done
            logits = lax.cond(
                jnp.isnan(value).any(), lambda: contract(True), lambda: contract(False)
            )
        return logits.reshape(self.batch_shape[:-1] + (value.shape[0],))

    def _is_contraction(self, value: Array) -> bool:
        one_row_axis = value.ndim == self.event_dim + 1 and value.shape[0] > 1
        return one_row_axis and (not self.batch_shape or self.batch_shape[-1] == 1)


class StackedFamily(ExponentialFamily):
    """A family with few statistics a row, which are kept side by side: ``T(x)`` as it stands.

    Log-densities then are one product, of the natural parameters with the statistics of all rows,
    and the expected statistics another. Rows lie along the last axis, so that whatever is done to
    all of them runs along memory.
    """

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """``T(x)`` as ``(statistic, row)``."""
        raise NotImplementedError

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """Coefficients ``(component, statistic)`` of ``T(x)`` in the log-density."""
        raise NotImplementedError

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """The statistics by name from their sums ``(component, statistic)``."""
        raise NotImplementedError

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``."""
        natural = self.coefficients(missing=missing, centre=centre)
        if natural.size > FEW:
            return natural @ prepared
        prepared = lax.optimization_barrier(prepared)  # else it is made anew for every component
        return functools.reduce(operator.add, map(operator.mul, natural.T[..., None], prepared))

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Array:
        """``(statistic, component)``."""
        # this order of the factors is the faster one on CPUs
        return lax.dot_general(prepared, weights, (((1,), (1,)), ((), ())))

    def finalize(self, added: Array, *, missing: bool) -> Statistics:
        """Each statistic by its name."""
        return self.unstack(added.T, missing=missing)


def stack(*parts: Array) -> Array:
    """Rows' statistics ``(row, ...)`` side by side as ``(statistic, row)``."""
    return jnp.concatenate([p.reshape(p.shape[0], -1).T for p in parts])


def ones(value: Array, dtype: Any) -> Array:
    """A statistic that is one for every row."""
    return jnp.ones((value.shape[0], 1), dtype)


def has_missing(value: Any) -> bool:
    """Whether a concrete array has a NaN cell.

    >>> has_missing([[1.0, float("nan")]]), has_missing([1, 2])
    (True, False)
    """
    array = np.asarray(value)
    return bool(np.issubdtype(array.dtype, np.floating) and np.isnan(array).any())


def observed_cells(value: Array) -> tuple[Array, Array]:
    """``value`` with zeros where it is NaN, and a float mask of the observed cells."""
    absent = jnp.isnan(value)
    return jnp.where(absent, 0, value), (~absent).astype(value.dtype)


def broadcast_batch(*parameters: tuple[Any, int]) -> tuple[int, ...]:
    """The common batch shape of (parameter, number of event axes) pairs."""
    return lax.broadcast_shapes(*(jnp.shape(p)[: jnp.ndim(p) - dims] for p, dims in parameters))
