"""The table of families: parameters, data, and the log-density by SciPy or by enumeration.

A new family needs one row here, else ``test_families.py`` fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpyro.distributions as dist
from jax import Array
from scipy import stats

from ppl_models import distributions as families
from ppl_models.distributions.axis_shape import AxisShape
from ppl_models.distributions.orientation import UniformRotation

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
LEVELS = (2, 3, 2)
SHARES = np.hstack([_generator.dirichlet(np.ones(k), CLUSTERS) for k in LEVELS])
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
        given = parameters or self.parameters
        return self.build({n: v if self.shared(n) else v[:, None] for n, v in given.items()})

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


def _gaussian(parameters: Parameters, row: np.ndarray) -> float:
    loc = np.atleast_1d(parameters["loc"])
    row = np.atleast_1d(row)
    if "covariance" in parameters:
        covariance = parameters["covariance"]
    elif "axis_shape" in parameters:
        axes = parameters.get("orientation", np.eye(len(loc)))
        covariance = parameters["scale"] ** 2 * (axes * parameters["axis_shape"]) @ axes.T
    else:
        covariance = np.diag(np.broadcast_to(parameters["scale"] ** 2, loc.shape))
    seen = ~np.isnan(row)
    if not seen.any():
        return 0.0
    part = covariance[np.ix_(seen, seen)]
    return float(stats.multivariate_normal.logpdf(row[seen], loc[seen], part))


def _bernoulli(parameters: Parameters, row: np.ndarray) -> float:
    seen = ~np.isnan(row)
    return float(stats.bernoulli.logpmf(row[seen], parameters["probs"][seen]).sum())


def _categorical(parameters: Parameters, row: np.ndarray) -> float:
    blocks = np.split(parameters["probs"], np.cumsum(LEVELS)[:-1])
    pairs = zip(blocks, row, strict=True)
    return float(sum(np.log(block[int(code)]) for block, code in pairs if not np.isnan(code)))


def _poisson(parameters: Parameters, row: np.ndarray) -> float:
    rate, row = np.atleast_1d(parameters["rate"]), np.atleast_1d(row)
    seen = ~np.isnan(row)
    return float(stats.poisson.logpmf(row[seen], rate[seen]).sum())


def completions(row: np.ndarray, tokens: int) -> list[np.ndarray]:
    """All sequences that a sequence with unknown tokens may be."""
    places = np.flatnonzero(row == -1)
    found = []
    for chosen in product(range(tokens), repeat=len(places)):
        complete = row.copy()
        complete[places] = chosen
        found.append(complete)
    return found


def chain_probability(parameters: Parameters, row: np.ndarray) -> float:
    """Probability of one complete sequence, by multiplying its steps."""
    initial, transition = parameters["initial"], parameters["transition"]
    end = len(initial)
    probability = initial[row[0]] if row[0] < end else 0.0
    for place, (before, after) in enumerate(zip(row[:-1], row[1:], strict=True)):
        context = before
        if len(transition) > end and place > 0:  # two tokens, after the contexts of one
            context = end + row[place - 1] * end + before
        probability *= transition[context, after] if before < end else float(after == end)
    return float(probability)


def _chain(parameters: Parameters, row: np.ndarray) -> float:
    tokens = len(parameters["initial"])
    return float(np.log(sum(chain_probability(parameters, r) for r in completions(row, tokens))))


def graph_choices(row: np.ndarray, sizes: int, width: int = 2) -> list[tuple[str, int, int]]:
    """What was a choice in one ordered graph, node by node: (parameter, index, how it went)."""
    found: list[tuple[str, int, int]] = []
    parent, node, bits = 0, 1, [int(code) for code in row]
    while bits and bits[0] < 2:
        if node > 1:
            found.append(("end", min(node - 2, sizes - 1), 0))
        ties: list[int] = []
        for other, bit in zip(range(node - width, node), bits, strict=False):
            possible = other >= max(parent, 0)
            if possible and (ties or other < node - 1):
                found.append(("edge", node - other - 1, bit))
            else:  # no choice: the last bit of a row without an edge, or before the parent
                assert bit == possible
            ties += [other] * bit
        parent, node, bits = min(ties, default=0), node + 1, bits[width:]  # none: it was cut
    return [*found, ("end", min(node - 2, sizes - 1), 1)] if bits else found


def _graph(parameters: Parameters, row: np.ndarray) -> float:
    probability = 1.0
    for name, index, bit in graph_choices(row, len(parameters["end"])):
        probability *= parameters[name][index] if bit else 1 - parameters[name][index]
    return float(np.log(probability))


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
        _gaussian,
        priors={"loc": _normal(()), "scale": _inverse_gamma(())},
    ),
    Case(
        "spherical",
        families.SphericalGaussian,
        {"loc": LOC, "scale": SCALE[:, 0]},
        X,
        GAPS,
        _gaussian,
        priors={"loc": _normal((3,)), "scale": _inverse_gamma(())},
    ),
    Case(
        "diagonal",
        families.DiagonalGaussian,
        {"loc": LOC, "scale": SCALE},
        X,
        GAPS,
        _gaussian,
        priors={"loc": _normal((3,)), "scale": _inverse_gamma((3,))},
    ),
    Case(
        "tied",
        families.TiedGaussian,
        {"loc": LOC, "covariance": COVARIANCE[0]},
        X,
        GAPS,
        _gaussian,
        priors={"loc": _normal((3,)), "covariance": _wishart},
    ),
    Case(
        "full",
        families.FullGaussian,
        {"loc": LOC, "covariance": COVARIANCE},
        X,
        GAPS,
        _gaussian,
        priors={"loc": _normal((3,)), "covariance": _wishart},
    ),
    Case(
        "shaped",
        families.ShapedGaussian,
        {"loc": LOC, "axis_shape": SHAPE, "scale": SCALE[:, 0]},
        X,
        GAPS,
        _gaussian,
        priors={"loc": _normal((3,)), "axis_shape": _axis_shape, "scale": _inverse_gamma(())},
    ),
    Case(
        "axes",
        families.AxesGaussian,
        {"loc": LOC, "orientation": ROTATION, "axis_shape": SHAPE, "scale": SCALE[:, 0]},
        X,
        GAPS,
        _gaussian,
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
        _bernoulli,
        priors={"probs": lambda: dist.Beta(np.full(3, 2.0), np.full(3, 1.5))},
    ),
    Case(
        "categorical",
        families.CategoricalVector,
        {"probs": SHARES},
        CODES,
        _with_gaps(CODES),
        _categorical,
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
        _poisson,
        priors={"rate": lambda: dist.Gamma(np.full(3, 2.0), np.full(3, 0.7))},
    ),
    Case(
        "poisson univariate",
        families.PoissonVector,
        {"rate": RATE[:, 0]},
        COUNTS[:, 0],
        _univariate(COUNTS),
        _poisson,
        static={"univariate": True},
        priors={"rate": lambda: dist.Gamma(np.array(2.0), np.array(0.7))},
    ),
    Case(
        "token chain",
        families.TokenChain,
        {"initial": INITIAL, "transition": TRANSITION},
        TOKENS,
        TOKEN_GAPS,
        _chain,
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
        _graph,
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
    _chain,
    static={"positions": 4, "order": 2},
)
