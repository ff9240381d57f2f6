"""The base of every emission: an exponential family whose log-density is a contraction.

For a datum x and a component k,

    log p(x | k) = <eta_k, T(x)> - A(eta_k) + h(x),

so the log-densities of all rows under all components are one matrix product of the natural
parameters with the sufficient statistics. The same statistics, weighted by responsibilities and
summed over rows, are all that an update of the parameters ever needs to see.

A new family is one file beside this one. Where the features of a row are independent it subclasses
:class:`.factorised.FactorisedFamily` and writes the functions of one cell; everything else follows.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpyro.distributions import Distribution

from ppl_models.data.missing import has_missing, missing_cells
from ppl_models.distributions.declaration import FamilyDeclaration
from ppl_models.distributions.gap_branches import by_gaps
from ppl_models.distributions.parameter_updates import ParameterUpdates, Statistics
from ppl_models.distributions.plug_in import PlugIn


class ExponentialFamily(PlugIn, ParameterUpdates, FamilyDeclaration, Distribution):
    """A family with natural parameters, sufficient statistics and a log-normaliser.

    A family is written for parameters with one batch axis, the component, and data with one, the
    row. :meth:`log_prob` takes any other broadcasting through :meth:`pointwise`. What a family can
    do is stated in class attributes, see ``distributions/declaration.py``.

    Bishop (2006), Pattern Recognition and Machine Learning, §2.4.

    >>> from ppl_models.distributions import PoissonVector
    >>> family = PoissonVector(jnp.array([[[2.0]], [[5.0]]]))  # two components, one feature
    >>> isinstance(family, ExponentialFamily), family.log_prob(jnp.array([[3.0]])).shape
    (True, (2, 1))
    """

    # ---- densities and statistics ------------------------------------------------------------

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Any:
        """What every pass over ``value (row, ...)`` needs, whatever the parameters.

        Done once: what is computed here is not computed again in every iteration. A family that
        does not factorise prepares rows with missing cells as they are.
        """
        return value

    def logits(self, prepared: Any, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)`` of prepared rows, by matrix products."""
        raise NotImplementedError

    def chunk_statistics(
        self, weights: Array, prepared: Any, *, missing: bool, centre: Array
    ) -> Any:
        """Statistics of one chunk of rows, to be summed over chunks and passed to `finalize`."""
        raise NotImplementedError

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """Statistics by name from the sum of :meth:`chunk_statistics` over all chunks.

        Where they were taken about a point of each component's own and not about the centre,
        ``about (component, feature)`` is among them.
        """
        return added

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``sum_n weights[k, n] log p(x_n | k)`` as ``(component,)``, from the statistics."""
        raise NotImplementedError

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula, with NumPy broadcasting of batch axes."""
        raise NotImplementedError

    def apart(self, centre: Array) -> Array | None:
        """Whether components lie so far apart that a product about one centre loses its digits.

        None: never, in this precision. See ``cancellation.py``.
        """
        return None

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """Where the probability is zero, ``(component, row)``; None: nowhere.

        :meth:`logits` take the logarithm of the smallest number for that of zero, so that zero
        times it is zero.
        """
        return None

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

    # ---- data --------------------------------------------------------------------------------

    def lengths(self, value: np.ndarray) -> np.ndarray | None:
        """Positions of every row that a pass needs, ``(row,)``; None: rows do not end."""
        return None

    def has_missing_cells(self, value: Any) -> bool:
        """Whether passes over concrete data must provide for missing cells."""
        return has_missing(value)

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """Numbers that a pass holds for each row, by which chunks are cut to fit a cache."""
        prepared = jax.eval_shape(
            lambda v: self.prepare(v, missing=missing, centre=self.centre(v)),
            value[:1],
        )
        return math.prod(prepared.shape) + 2 * math.prod(self.batch_shape)

    def centre(self, value: Array) -> Array:
        """A point amid the data that both data and locations may be shifted by (default: none)."""
        return jnp.zeros(())

    # ---- missing cells -----------------------------------------------------------------------

    def complete(self, key: Array, value: Array) -> Array:
        """Draw the missing cells of ``value`` given the observed ones.

        Args:
            key: random key.
            value: ``batch_shape + event_shape``.
        """
        return jnp.where(missing_cells(value), self.sample(key), value)

    def most_probable(self, value: Array) -> Array:
        """Fill in the most probable missing cells of ``value``, as :meth:`complete` draws them."""
        raise NotImplementedError

    @property
    def draws_missing(self) -> bool:
        """Whether a Gibbs sweep draws missing cells, because they do not drop out."""
        return not self.factorises

    def with_drawn_cells(self, key: Array, prepared: Any, chosen: Array, centre: Array) -> Any:
        """Prepared rows, complete: missing cells drawn where :attr:`draws_missing` says so.

        Args:
            key: random key.
            prepared: rows with missing cells, as :meth:`infer_latents` returned them.
            chosen: the component of every row, ``(row,)``.
            centre: the shift of the rows.
        """
        drawn = self.of_rows(chosen).complete(key, prepared)
        return self.prepare(drawn, missing=False, centre=centre)

    def draw_hidden(
        self, key: Array, prepared: Any, chosen: Array, *, missing: bool, centre: Array
    ) -> tuple[Any, bool]:
        """Rows with draws of what they hide, and whether cells are missing still.

        Args:
            key: random key.
            prepared: rows, as :meth:`infer_latents` returned them.
            chosen: the component of every row, ``(row,)``.
            missing: whether cells are missing.
            centre: the shift of the rows.
        """
        if not (missing and self.draws_missing):
            return prepared, missing
        return self.with_drawn_cells(key, prepared, chosen, centre), False

    # ---- initial values ----------------------------------------------------------------------

    def start_points(self, value: Array) -> Array:
        """Rows as points ``(row, coordinate)`` among which starts are spread (NaN: missing)."""
        return value.reshape(value.shape[0], -1)

    def observed_points(self, value: Array) -> Array:
        """Which of :meth:`start_points` may seed a component, ``(row,)``."""
        return jnp.ones(value.shape[0], bool)

    def seed_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Statistics under weights ``(seed, point)`` of :meth:`start_points`."""
        return self.expected_statistics(weights, value, missing=missing, centre=centre)

    def draw_start(self, parameter: str, key: Array, like: Array) -> Array:
        """Random values of a parameter in the shape of ``like``, to start at.

        Asked of families where :attr:`starts_from_rows` is false.
        """
        raise NotImplementedError

    # ---- what every family gets --------------------------------------------------------------

    def contract(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)`` of ``value (row, ...)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        return self.logits(prepared, missing=missing, centre=centre)

    def prepared_statistics(
        self, weights: Array, prepared: Any, *, missing: bool, centre: Array
    ) -> Statistics:
        """:meth:`expected_statistics` of rows that are prepared already."""
        added = self.chunk_statistics(weights, prepared, missing=missing, centre=centre)
        return self.finalize(added, missing=missing, centre=centre)

    def expected_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Sufficient statistics summed over rows under ``weights (component, row)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        return self.prepared_statistics(weights, prepared, missing=missing, centre=centre)

    def named_parameters(self) -> dict[str, Array]:
        """Parameters ``(component, ...)`` of a family with one batch axis, as a fit records them.

        One that all components share has an axis of one.
        """
        shared = self.shared_parameters
        named = {n: jnp.asarray(getattr(self, n)) for n in self.parameter_dims}
        return {n: value[None] if n in shared else value for n, value in named.items()}

    def components(self) -> ExponentialFamily:
        """The same family with all batch axes flattened into one, the component."""
        count = math.prod(self.batch_shape)
        arguments = {}
        for name, dims in self.parameter_dims.items():
            parameter = getattr(self, name)
            if isinstance(parameter, jax.Array) and not isinstance(parameter, jax.core.Tracer):
                concrete, parameter = True, np.asarray(parameter)  # nothing to compile there
            else:
                concrete, parameter = False, jnp.asarray(parameter)
            event = parameter.shape[parameter.ndim - dims :]
            if name not in self.shared_parameters:
                library: Any = np if concrete else jnp
                parameter = library.broadcast_to(parameter, self.batch_shape + event)
                parameter = parameter.reshape((count, *event))
            arguments[name] = jax.device_put(parameter) if concrete else parameter
        return self.replace(**arguments)

    def of_rows(self, chosen: Array) -> ExponentialFamily:
        """The family with every row's own component's parameters, ``chosen (row,)``."""
        parameters = {
            n: getattr(self, n) if n in self.shared_parameters else getattr(self, n)[chosen]
            for n in self.parameter_dims
        }
        return self.replace(**parameters)

    def replace(self, **parameters: Array) -> ExponentialFamily:
        """The same family with other parameters."""
        merged = {name: getattr(self, name) for name in self.parameter_dims} | parameters
        return type(self)(**merged, **self.static_arguments(), validate_args=False)

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> Any | None:
        """The family with the density of one of ``numpyro_classes``, or None where it has none.

        Default: parameters of the same names.

        Args:
            distribution: NumPyro's, without the axes that plates and ``to_event`` put around it.
            event_shape: with these axes.
        """
        parameters = {n: spread(getattr(distribution, n), event_shape) for n in cls.arg_constraints}
        return cls(**parameters)

    def static_arguments(self) -> dict[str, Any]:
        """Arguments of the constructor that are not parameters."""
        return {}

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density; missing cells are marginalised."""
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
            logits = by_gaps(missing_cells(value).any(), contract)
        return logits.reshape(self.batch_shape[:-1] + (value.shape[0],))

    def _is_contraction(self, value: Array) -> bool:
        one_row_axis = value.ndim == self.event_dim + 1 and value.shape[0] > 1
        return one_row_axis and (not self.batch_shape or self.batch_shape[-1] == 1)


def broadcast_batch(*parameters: tuple[Any, int]) -> tuple[int, ...]:
    """The common batch shape of (parameter, number of event axes) pairs."""
    return lax.broadcast_shapes(*(jnp.shape(p)[: jnp.ndim(p) - dims] for p, dims in parameters))


def real(parameter: Any) -> Array:
    """A parameter as floating numbers: ``dist.Normal(loc, 1)`` has a scale of integers."""
    parameter = jnp.asarray(parameter)
    return parameter.astype(jnp.result_type(parameter, float))


def spread(parameter: Any, event_shape: tuple[int, ...]) -> Array:
    """A parameter with the whole event shape, its batch axes as they are."""
    parameter = jnp.asarray(parameter)
    return jnp.broadcast_to(parameter, jnp.broadcast_shapes(parameter.shape, event_shape))
