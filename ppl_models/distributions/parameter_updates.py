"""How the M-step of EM and a sweep of Gibbs sampling move a family's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution

Statistics = dict[str, Array]


class ParameterUpdates:
    """Posteriors of single parameters, and the choice among values that mean the same."""

    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]]
    batch_shape: tuple[int, ...]

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
        priors = self.conjugate_priors.get(parameter, ())
        if not priors or not (prior is None or isinstance(prior, priors)):
            return None
        return self.conjugate_update(parameter, prior, statistics, centre, shared=shared)

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """:meth:`conditional` under one of the parameter's ``conjugate_priors``, or a flat prior.

        A family without any is maximised by quasi-Newton steps and drawn by Hamiltonian ones.
        """
        raise NotImplementedError(f"{type(self).__name__} declares conjugate priors without update")

    def canonical(self, parameter: str, value: Array, prior: Any | None) -> Array:
        """The canonical one of a parameter's equivalent values.

        Asked of :attr:`equivalent_parameters` when all others have moved, for what rows hide was
        found out for the value as it was.

        Args:
            parameter: name of the parameter.
            value: of all components.
            prior: its prior (None: flat), with parameters of the shape of the parameter.
        """
        return value

    def expanded(
        self,
        priors: Mapping[str, Any | None],
        statistics: Statistics,
        *,
        shared: Mapping[str, bool],
    ) -> dict[str, Array]:
        """:attr:`expanded_parameters` moved so that what rows hide has its distribution again.

        What an E-step expects of it fits another distribution better, to which other parameters
        correspond: parameter expansion (Liu, Rubin and Wu 1998), which saves EM from creeping.

        Args:
            priors: of those that may move (None: flat), with parameters of their shape.
            statistics: expected statistics of all components under the values before the M-step.
            shared: whether all components have the same value.

        Returns:
            By name, with an axis of components.
        """
        return {}

    def redundant(self, parameter: str, shape: tuple[int, ...]) -> int:
        """Number of redundant entries in one of :attr:`equivalent_parameters` of that shape."""
        return 0

    def collapsed(self, deviation: Array) -> Array:
        """Whether a component has shrunk onto a row or a plane, ``(component,)``.

        Args:
            deviation: standard deviation of every feature of the data.
        """
        return jnp.zeros(self.batch_shape, bool)
