"""What an emission class declares about its components, for pictures and for words.

Only NumPy is needed here: a fit that was loaded from a file is drawn without any computation on
JAX's arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from ppl_models.distributions.registry import register

Picture = Literal["ellipses", "profile", "levels", "transitions"]
MOST_FEATURES = 6  #: features that a summary in words lists


class Described:
    """Declarations with defaults that every emission class inherits; a subclass is registered."""

    #: how components are drawn: "ellipses" by mean and covariance, "profile" by one value of
    #: ``profile_parameter`` for every feature, "levels" by the probabilities of a feature's levels,
    #: "transitions" by a transition matrix; None: not at all
    component_picture: ClassVar[Picture | None] = None
    #: the parameter that "profile" and "levels" draw, ``(component, feature or level)``
    profile_parameter: ClassVar[str | None] = None
    #: the parameter that holds degrees of freedom, where "ellipses" are those of Student's t
    freedom_parameter: ClassVar[str | None] = None
    #: what that parameter is called on an axis
    profile_label: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register(cls)

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Mean and covariance of every component, for the picture "ellipses".

        Returns:
            Means ``(..., component, feature)`` and covariances ``(..., component, feature,
            feature)``; None for the latter where a component has no spread.

        Args:
            parameters: name -> ``(..., component, event)``, parameters that all components share by
                definition (``shared_parameters``) without the component's axis.
        """
        raise NotImplementedError(f"{cls.__name__} declares no moments of its components")

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """One component in words (default: its parameters by name and value).

        Args:
            parameters: name -> ``(component, event)``, as in :meth:`component_moments`.
            component: which one.
            features: names of the features, of "levels" of all levels ("feature=level"); empty
                where a datum is one number.

        >>> Described.summarise({"rate": np.array([[1.0, 2.5]])}, 0, ["a", "b"])
        'rate: a 1, b 2.5'
        """
        shared = getattr(cls, "shared_parameters", ())
        values = {n: np.asarray(v) for n, v in parameters.items()}
        own = {n: v if n in shared else v[component] for n, v in values.items()}
        return "; ".join(f"{n}{_values(v, features)}" for n, v in own.items())


def _values(value: np.ndarray, features: Sequence[str]) -> str:
    if value.ndim == 0:
        return f" {value:.3g}"
    if value.ndim == 1 and len(value) == len(features):
        return ": " + by_feature(features, [f"{v:.3g}" for v in value])
    return f" of shape {value.shape}"


def means_in_words(mean: np.ndarray, covariance: np.ndarray | None, features: Sequence[str]) -> str:
    """Mean and standard deviation of every feature.

    >>> means_in_words(np.array([1.0, 2.0]), np.diag([4.0, 9.0]), ["a", "b"])
    'mean (sd): a 1 (2), b 2 (3)'
    """
    if covariance is None:
        values, title = [f"{m:.3g}" for m in mean], "mean"
    else:
        sd = np.sqrt(np.diagonal(covariance))
        values = [f"{m:.3g} ({s:.3g})" for m, s in zip(mean, sd, strict=True)]
        title = "mean (sd)"
    if not len(features):
        return f"{title} {values[0]}"
    return f"{title}: {by_feature(features, values)}"


def by_feature(features: Sequence[str], values: Sequence[str]) -> str:
    """Features and their values as a list in words, the first few of them.

    >>> by_feature(["a", "b"], ["1", "2"])
    'a 1, b 2'
    >>> by_feature([str(i) for i in range(8)], ["x"] * 8)
    '0 x, 1 x, 2 x, 3 x, 4 x, 5 x, and 2 more'
    """
    pairs = [f"{n} {v}" for n, v in zip(features, values, strict=True)]
    left = len(pairs) - MOST_FEATURES
    return ", ".join(pairs[:MOST_FEATURES] + ([f"and {left} more"] if left > 0 else []))
