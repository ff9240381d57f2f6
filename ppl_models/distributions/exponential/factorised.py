"""Families of independent features, written for one cell: the rest is derived.

A file that says what one cell's sufficient statistics, natural parameters and log-normaliser are
is a whole emission. Rows of waiting times, for instance:

    class WaitingTimes(FactorisedFamily):
        arg_constraints = {"rate": constraints.independent(constraints.positive, 1)}
        support = constraints.independent(constraints.positive, 1)

        def sufficient_statistics(self, x):
            return (x,)

        def natural_parameters(self):
            return (-self.rate,)

        def log_normaliser(self):
            return -jnp.log(self.rate)

        def sample(self, key, sample_shape=()):
            return random.exponential(key, self.shape(sample_shape)) / self.rate
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.exponential.family import Statistics, broadcast_batch, real
from ppl_models.distributions.exponential.stacked import StackedFamily, ones, stack


def location_centre(value: Any) -> Any:
    """Mean of some rows spread over the data, without missing cells: ``(feature,)`` or ``()``.

    Of data on the host it is computed there.
    """
    return _centre(np, value) if isinstance(value, np.ndarray) else _compiled_centre(value)


def _centre(library: Any, value: Any) -> Any:
    rows = value[:: max(1, value.shape[0] // 64)].astype(jnp.result_type(value, float))
    observed = ~missing_cells(rows)
    total = library.where(observed, rows, 0).sum(0)
    return total / library.clip(observed.sum(0), 1, None).astype(rows.dtype)


_compiled_centre = jax.jit(partial(_centre, jnp))


class FactorisedFamily(StackedFamily):
    """Rows of features (or of one number each) that are independent given the component.

    A cell x of a component with parameters θ has the log-density ⟨η(θ), T(x)⟩ − A(θ) + h(x). A
    subclass states ``arg_constraints``, ``support``, :meth:`sufficient_statistics` T,
    :meth:`natural_parameters` η, :meth:`log_normaliser` A, :meth:`log_base_measure` h unless it is
    zero, and ``sample``. Parameters with an event axis have a value for every feature; where none
    has one, a datum is one number. Missing cells drop out.

    What is optional makes it better: ``conjugate_priors`` with :meth:`conjugate_update` for closed
    forms in place of optimisation; ``numpyro_classes``; a picture (``component_picture``);
    :meth:`start_points`; :meth:`impossible`.
    """

    #: names of the statistics that :meth:`sufficient_statistics` returns (default: "statistic_0" …)
    statistic_names: ClassVar[tuple[str, ...]] = ()
    #: parameters that move with the data: both are shifted, so that squares do not cancel
    location_parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *arguments: Any, validate_args: bool | None = None, **named: Any):
        parameters = dict(zip(self.parameter_dims, arguments, strict=False)) | named
        if set(parameters) != set(self.parameter_dims) or len(arguments) > len(parameters):
            wanted = ", ".join(self.parameter_dims)
            raise TypeError(f"{type(self).__name__} takes the parameters {wanted}")
        for name, value in parameters.items():
            setattr(self, name, real(value))
        pairs = [(getattr(self, n), dims) for n, dims in self.parameter_dims.items()]
        events = [value.shape[value.ndim - dims :] for value, dims in pairs]
        event = jnp.broadcast_shapes(*events)
        super().__init__(broadcast_batch(*pairs), event, validate_args=validate_args)

    # ---- what a family writes: functions of one cell -------------------------------------------

    def sufficient_statistics(self, x: Array) -> tuple[Array, ...]:
        """T(x), each array of the shape of ``x``."""
        raise NotImplementedError

    def natural_parameters(self) -> tuple[Array, ...]:
        """η(θ), an array for every statistic, of the shape of the parameters."""
        raise NotImplementedError

    def log_normaliser(self) -> Array:
        """A(θ), of the shape of the parameters."""
        raise NotImplementedError

    def log_base_measure(self, x: Array) -> Array | None:
        """h(x), of the shape of ``x``; None: zero."""
        return None

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """Parameters with an event axis have a value for every feature."""
        return {n: ("feature",) * dims for n, dims in self.parameter_dims.items()}

    # ---- what follows --------------------------------------------------------------------------

    def _columns(self, array: Array) -> Array:
        """A datum or parameter as ``(..., feature)``: one number is a row of one feature."""
        return array if self.event_dim else jnp.asarray(array)[..., None]

    @property
    def _wide(self) -> tuple[int, int]:
        """``(component, feature)``."""
        return self.batch_shape[0], self.event_shape[0] if self.event_dim else 1

    def _over_features(self, each: Array) -> Array:
        """Sums over the features ``(component,)`` of what every cell of a parameter has."""
        return jnp.broadcast_to(each.sum(-1) if self.event_dim else each, self.batch_shape)

    def _shifted(self, centre: Array) -> FactorisedFamily:
        """The family of ``x - centre``."""
        moved = {n: getattr(self, n) - centre for n in self.location_parameters}
        return self.replace(**moved) if moved else self  # type: ignore[return-value]

    def _real(self, value: Array) -> Array:
        parameters = [getattr(self, n) for n in self.parameter_dims]
        real = jnp.issubdtype(value.dtype, jnp.floating)
        return value if real else value.astype(jnp.result_type(*parameters, float))

    def _masked(self, x: Array, missing: bool) -> tuple[list[Array], Array | None, Array | None]:
        """T, h and a mask of what is observed, both zero where a cell is missing."""
        observed = None
        if missing:  # whatever is computed of a missing cell must be finite
            observed = ~missing_cells(x)
            x = jnp.where(observed, x, self.support.feasible_like(x).astype(x.dtype))
        statistics, base = list(self.sufficient_statistics(x)), self.log_base_measure(x)
        if observed is not None:
            statistics = [jnp.where(observed, t, 0) for t in statistics]
            base = None if base is None else jnp.where(observed, base, 0)
            observed = observed.astype(x.dtype)
        return statistics, base, observed

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """T of every cell, h of the row, and which cells are observed (or one 1: all are)."""
        x = self._real(value)
        x = x - centre if self.location_parameters else x
        statistics, base, observed = self._masked(x, missing)
        parts = [self._columns(t) for t in statistics]
        if base is not None:
            parts.append(self._columns(base).sum(-1))
        parts.append(ones(x, x.dtype) if observed is None else self._columns(observed))
        return stack(*parts)

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """η of every cell, 1 for h, and -A of every cell (or of the row: all are observed)."""
        family = self._shifted(centre)
        constant = jnp.broadcast_to(-self._columns(family.log_normaliser()), self._wide)
        natural = family.natural_parameters()
        parts = [jnp.broadcast_to(self._columns(n), self._wide) for n in natural]
        if self._has_base:
            parts.append(jnp.ones_like(constant[:, :1]))
        parts.append(constant if missing else constant.sum(-1, keepdims=True))
        return jnp.concatenate(parts, -1)

    @property
    def _has_base(self) -> bool:
        return type(self).log_base_measure is not FactorisedFamily.log_base_measure

    @property
    def _names(self) -> tuple[str, ...]:
        count = len(self.natural_parameters())
        return self.statistic_names or tuple(f"statistic_{i}" for i in range(count))

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """T by name and ``count`` of observed cells, ``(component, feature)``; ``base``, h."""
        (_, features), statistics, place = self._wide, {}, 0
        for name in self._names:
            statistics[name] = sums[:, place : place + features]
            place += features
        if self._has_base:
            statistics["base"] = sums[:, place]
            place += 1
        return statistics | {"count": sums[:, place:]}

    def pointwise(self, value: Array) -> Array:
        """Log-density cell by cell."""
        x = self._real(value)
        statistics, base, observed = self._masked(x, missing=True)
        assert observed is not None
        cell = sum(n * t for n, t in zip(self.natural_parameters(), statistics, strict=True))
        cell = cell - observed * self.log_normaliser()
        cell = cell if base is None else cell + base
        return cell.sum(-1) if self.event_dim else cell

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        family = self._shifted(centre)
        pairs = zip(self._names, family.natural_parameters(), strict=True)
        cells = sum(self._columns(n) * statistics[name] for name, n in pairs)
        cells = cells - statistics["count"] * self._columns(family.log_normaliser())
        return cells.sum(-1) + statistics.get("base", 0)

    def centre(self, value: Array) -> Array:
        """A point amid the data where locations move with them, else zero."""
        if self.location_parameters:
            return location_centre(value)
        library: Any = np if isinstance(value, np.ndarray) else jnp
        return library.zeros((), jnp.result_type(float))

    def start_points(self, value: Array) -> Array:
        """The cells as real numbers."""
        return self._columns(self._real(value))
