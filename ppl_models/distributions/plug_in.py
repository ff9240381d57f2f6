"""What variational Bayes needs of a family: its natural parameters and log-normaliser, expected.

An emission's log-density <η, T(x)> - A enters an E-step by E[η] and E[A] under the distributions q
of its parameters (Beal 2003, Variational algorithms for approximate Bayesian inference, §2.4). The
parameters whose natural parameter is E[η], the plug-in values, stand for the first, so that passes
over the rows are those of EM; what is left, A(E[η]) - E[A(η)], is a constant of the component.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from jax import Array


class PlugIn:
    """Methods that a family with ``plug_in_parameters`` states."""

    #: parameters with a :meth:`plug_in` value; variational Bayes serves a family whose parameters
    #: all have one
    plug_in_parameters: ClassVar[tuple[str, ...]] = ()

    def plug_in(self, parameter: str, q: Any) -> Array:
        """The value of a parameter by which natural parameters are their expectations under q.

        Args:
            parameter: name of the parameter.
            q: its distribution, as :meth:`conjugate_update` returns it.
        """
        raise NotImplementedError

    def jensen_gap(self, posterior: Mapping[str, Any]) -> Array:
        """``A(E[η]) - E[A(η)]`` of every component of a family at plug-in values, ``(component,)``.

        Args:
            posterior: by parameter, its distribution q; parameters that are known have none.
        """
        raise NotImplementedError

    def statistics_under(
        self, posterior: Mapping[str, Any], statistics: dict[str, Array]
    ) -> dict[str, Array]:
        """Statistics with what the uncertainty of other parameters adds to squares about them.

        Args:
            posterior: by parameter, its distribution q, of those that are updated already.
            statistics: expected statistics of all components.
        """
        return statistics
