"""The table of families: parameters, data, and the log-density by SciPy or by enumeration.

A new family needs one row here, else ``test_families.py`` fails.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
from jax import Array
from scipy import stats

from ppl_models import distributions as families
from ppl_models.distributions.priors.axis_shape import AxisShape
from ppl_models.distributions.priors.orientation import UniformRotation

_specification = importlib.util.spec_from_file_location(
    "reference_densities", Path(__file__).with_name("reference_densities.py")
)
assert _specification is not None and _specification.loader is not None
densities = importlib.util.module_from_spec(_specification)  # this folder is no package
_specification.loader.exec_module(densities)

CLUSTERS, ROWS, FEATURES = 3, 6, 3
_generator = np.random.default_rng(20240607)
_nan = np.nan

LOC = _generator.normal(0, 2, (CLUSTERS, FEATURES))
SCALE = _generator.uniform(0.5, 2, (CLUSTERS, FEATURES))
_root = _generator.normal(size=(CLUSTERS, FEATURES, FEATURES))
COVARIANCE = _root @ _root.swapaxes(1, 2) + 0.5 * np.eye(FEATURES)
ROTATION = np.array([stats.special_ortho_group(FEATURES, k).rvs() for k in range(CLUSTERS)])
SHAPE = SCALE / stats.gmean(SCALE, axis=1, keepdims=True)
X = _generator.normal(0, 2, (ROWS, FEATURES))
GAPS = X.copy()
GAPS[[0, 1, 1, 2, 2, 2, 4], [1, 0, 2, 0, 1, 2, 2]] = _nan
PROBS = _generator.uniform(0.05, 0.95, (CLUSTERS, FEATURES))
BITS = _generator.integers(0, 2, (ROWS, FEATURES))
LEVELS = densities.LEVELS
PROPORTIONS = np.hstack([_generator.dirichlet(np.ones(k), CLUSTERS) for k in LEVELS])
CODES = np.column_stack([_generator.integers(0, k, ROWS) for k in LEVELS])
RATE = _generator.uniform(0.5, 6, (CLUSTERS, FEATURES))
COUNTS = _generator.poisson(3, (ROWS, FEATURES))
INITIAL = _generator.dirichlet(np.ones(2), CLUSTERS)
TRANSITION = _generator.dirichlet(np.ones(3), (CLUSTERS, 2))
PAIRS = _generator.dirichlet(np.ones(3), (CLUSTERS, 6))
TOKENS = np.array(
    [[0, 1, 1, 2], [1, 2, 2, 2], [0, 0, 2, 2], [1, 1, 0, 1], [0, 2, 2, 2], [1, 0, 1, 2]]
)
TOKEN_GAPS = np.array(
    [[-1, 1, -1, 2], [1, 2, 2, 2], [-1, -1, 2, 2], [1, -1, -1, -1], [-1, 2, 2, 2], [1, 0, 1, 2]]
)

GRAPH_EDGE = _generator.uniform(0.2, 0.8, (CLUSTERS, 2))
GRAPH_END = _generator.uniform(0.2, 0.8, (CLUSTERS, 2))
GRAPHS = np.array(
    [
        [0, 1, 2, 2, 2, 2, 2],
        [0, 1, 1, 1, 2, 2, 2],
        [0, 1, 1, 0, 2, 2, 2],
        [0, 1, 1, 0, 1, 1, 2],
        [0, 1, 0, 1, 0, 1, 2],
        [0, 1, 1, 1, 0, 1, 2],
    ]
)

Parameters = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: of the case.
        family: the class under test.
        parameters: ``(component, ...)``, shared ones without the component axis.
        data: complete rows.
        gaps: rows with missing cells.
        log_density: parameters of one component and a row -> log-density by another program.
        static: further arguments of the constructor.
        priors: parameter -> conjugate prior of one component's value.
        spaces: parameter -> the space it lives in, where that is narrower than the constraint.
        complete: why no cell may be missing, where none may.
    """

    name: str
    family: type
    parameters: Parameters
    data: np.ndarray
    gaps: np.ndarray
    log_density: Callable[[Parameters, np.ndarray], float]
    static: dict[str, Any] = field(default_factory=dict)
    priors: dict[str, Callable[[], Any]] = field(default_factory=dict)
    spaces: dict[str, Any] = field(default_factory=dict)
    complete: str = ""

    def build(self, parameters: dict[str, Any] | None = None) -> Any:
        """The family with one batch axis: the component."""
        return self.family(**(parameters or self.parameters), **self.static)

    def enumerated(self, parameters: dict[str, Any] | None = None) -> Any:
        """The family with the batch shape ``(component, 1)`` that enumeration gives it."""
        values = parameters or self.parameters
        return self.build({n: v if self.shared(n) else v[:, None] for n, v in values.items()})

    def by_row(self, count: int) -> Any:
        """The family with one component a row, components in turn."""
        chosen = np.arange(count) % CLUSTERS
        return self.build(
            {n: v if self.shared(n) else v[chosen] for n, v in self.parameters.items()}
        )

    def shared(self, parameter: str) -> bool:
        """Whether all components have the same value of a parameter."""
        return parameter in self.family.shared_parameters

    def component(self, k: int) -> Parameters:
        """Parameters of one component."""
        return {n: v if self.shared(n) else v[k] for n, v in self.parameters.items()}

    def expected(self, rows: np.ndarray) -> np.ndarray:
        """Log-densities ``(component, row)`` by the other program."""
        return np.array(
            [[self.log_density(self.component(k), row) for row in rows] for k in range(CLUSTERS)]
        )

    def space(self, parameter: str) -> Any:
        """The space of a parameter."""
        return self.spaces.get(parameter, self.family.arg_constraints[parameter])

    @property
    def continuous(self) -> bool:
        """Whether the data are real numbers."""
        return self.data.dtype.kind == "f"


def maximum_likelihood(emission: Any, statistics: Any, centre: Any) -> Any:
    """The emission at the maximum of its likelihood: the mode of every conditional in turn.

    The conditionals are those of flat priors, in the order in which EM takes them.
    """
    for name in emission.parameter_dims:
        shared = name in emission.shared_parameters
        posterior = emission.conditional(name, None, statistics, centre, shared=shared)
        emission = emission.replace(**{name: posterior.mode()})
    return emission


def _with_gaps(data: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(GAPS), _nan, data)


def _univariate(data: np.ndarray) -> np.ndarray:
    column = data[:, 0].astype(float)
    column[[1, 4]] = _nan
    return column


def _normal(shape: tuple[int, ...]) -> Callable[[], Any]:
    return lambda: dist.Normal(np.full(shape, 0.5), np.full(shape, 1.5))


def _wishart() -> Any:
    return dist.InverseWishart(np.array(5.0), scale_matrix=np.diag([1.0, 2.0, 0.5]))


def _inverse_gamma(shape: tuple[int, ...]) -> Callable[[], Any]:
    return lambda: families.InverseGammaScale(np.full(shape, 2.0), np.full(shape, 1.2))


def _axis_shape() -> Any:
    return AxisShape(np.array([3.0, 1.0, 0.5]), 1.5)


def _rotation() -> Any:
    return UniformRotation(FEATURES)


def _block_dirichlet() -> Array:
    return families.BlockDirichlet(np.array([2.0, 1.5, 2.0, 1.2, 3.0, 1.5, 2.5]), LEVELS)


CASES = [
    Case(
        "univariate",
        families.UnivariateGaussian,
        {"loc": LOC[:, 0], "scale": SCALE[:, 0]},
        X[:, 0],
        _univariate(X),
        densities.gaussian,
        priors={"loc": _normal(()), "scale": _inverse_gamma(())},
    ),
    Case(
        "spherical",
        families.SphericalGaussian,
        {"loc": LOC, "scale": SCALE[:, 0]},
        X,
        GAPS,
        densities.gaussian,
        priors={"loc": _normal((3,)), "scale": _inverse_gamma(())},
    ),
    Case(
        "diagonal",
        families.DiagonalGaussian,
        {"loc": LOC, "scale": SCALE},
        X,
        GAPS,
        densities.gaussian,
        priors={"loc": _normal((3,)), "scale": _inverse_gamma((3,))},
    ),
    Case(
        "tied",
        families.TiedGaussian,
        {"loc": LOC, "covariance": COVARIANCE[0]},
        X,
        GAPS,
        densities.gaussian,
        priors={"loc": _normal((3,)), "covariance": _wishart},
    ),
    Case(
        "full",
        families.FullGaussian,
        {"loc": LOC, "covariance": COVARIANCE},
        X,
        GAPS,
        densities.gaussian,
        priors={"loc": _normal((3,)), "covariance": _wishart},
    ),
    Case(
        "shaped",
        families.ShapedGaussian,
        {"loc": LOC, "axis_shape": SHAPE, "scale": SCALE[:, 0]},
        X,
        GAPS,
        densities.gaussian,
        priors={"loc": _normal((3,)), "axis_shape": _axis_shape, "scale": _inverse_gamma(())},
    ),
    Case(
        "axes",
        families.AxesGaussian,
        {"loc": LOC, "orientation": ROTATION, "axis_shape": SHAPE, "scale": SCALE[:, 0]},
        X,
        GAPS,
        densities.gaussian,
        priors={
            "loc": _normal((3,)),
            "orientation": _rotation,
            "axis_shape": _axis_shape,
            "scale": _inverse_gamma(()),
        },
    ),
    Case(
        "bernoulli",
        families.BernoulliVector,
        {"probs": PROBS},
        BITS,
        _with_gaps(BITS),
        densities.bernoulli,
        priors={"probs": lambda: dist.Beta(np.full(3, 2.0), np.full(3, 1.5))},
    ),
    Case(
        "categorical",
        families.CategoricalVector,
        {"probs": PROPORTIONS},
        CODES,
        _with_gaps(CODES),
        densities.categorical,
        static={"levels": LEVELS},
        priors={"probs": _block_dirichlet},
        spaces={"probs": _block_dirichlet().support},
    ),
    Case(
        "poisson",
        families.PoissonVector,
        {"rate": RATE},
        COUNTS,
        _with_gaps(COUNTS),
        densities.poisson,
        priors={"rate": lambda: dist.Gamma(np.full(3, 2.0), np.full(3, 0.7))},
    ),
    Case(
        "poisson univariate",
        families.PoissonVector,
        {"rate": RATE[:, 0]},
        COUNTS[:, 0],
        _univariate(COUNTS),
        densities.poisson,
        static={"univariate": True},
        priors={"rate": lambda: dist.Gamma(np.array(2.0), np.array(0.7))},
    ),
    Case(
        "token chain",
        families.TokenChain,
        {"initial": INITIAL, "transition": TRANSITION},
        TOKENS,
        TOKEN_GAPS,
        densities.chain,
        static={"positions": 4},
        priors={
            "initial": lambda: dist.Dirichlet(np.array([2.0, 1.5])),
            "transition": lambda: dist.Dirichlet(np.full((2, 3), 1.7)),
        },
    ),
    Case(
        "graph chain",
        families.GraphChain,
        {"edge": GRAPH_EDGE, "end": GRAPH_END},
        GRAPHS,
        GRAPHS,
        densities.graph,
        static={"positions": 7},
        priors={
            "edge": lambda: dist.Beta(np.full(2, 2.0), np.full(2, 1.5)),
            "end": lambda: dist.Beta(np.full(2, 2.0), np.full(2, 1.5)),
        },
        complete="a missing edge changes which others are a choice",
    ),
]

#: Two tokens back: beside the table, whose tests a second chain would only make slower.
ORDERED = Case(
    "token chain of order 2",
    families.TokenChain,
    {"initial": INITIAL, "transition": PAIRS},
    TOKENS,
    TOKEN_GAPS,
    densities.chain,
    static={"positions": 4, "order": 2},
)
