"""Every built-in program: data, arguments, and the same program with NumPyro's distributions.

A new program needs one row here, else ``test_programs.py`` fails.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

CLUSTERS = 2
_generator = np.random.default_rng(11)
_cluster = np.arange(14) % CLUSTERS
X = _generator.normal(size=(14, 2)) * [1.0, 0.5] + np.array([[0.0, 1.0], [5.0, -2.0]])[_cluster]
BITS = _generator.binomial(1, np.array([[0.9, 0.8, 0.2], [0.2, 0.1, 0.7]])[_cluster])
LEVELS = (2, 3)
CODES = np.column_stack(
    [
        _generator.binomial(1, np.array([0.9, 0.2])[_cluster]),
        _generator.binomial(2, np.array([0.8, 0.1])[_cluster]),
    ]
)
COUNTS = _generator.poisson(np.array([[2.0, 6.0], [9.0, 1.0]])[_cluster])
TOKENS = np.array(
    [
        [0, 1, 2, 3, 3],
        [1, 1, 3, 3, 3],
        [2, 0, 0, 1, 3],
        [0, 3, 3, 3, 3],
        [2, 2, 1, 3, 3],
        [1, 0, 3, 3, 3],
        [0, 0, 2, 1, 3],
        [2, 3, 3, 3, 3],
    ]
)
_state = np.array([[0, 0, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 1], [0, 0, 0, 1, 1]])
SERIES = _generator.normal(size=(4, 5, 2)) + np.array([[0.0, 1.0], [5.0, -2.0]])[_state]
SERIES[1, 4] = SERIES[2, 2:] = np.nan  # shorter sequences
SERIES[0, 2] = np.nan  # a step that is missing
COUNT_SERIES = _generator.poisson(np.array([[2.0], [9.0]])[_state])


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    path = Path(__file__).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(f"model_{name}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


graphs = _beside("graph_programs")
mixtures = _beside("mixture_programs")
pixels = _beside("pixel_programs")
sequences = _beside("sequence_programs")
SEQUENCES = ["abc", "bb", "caab", "a", "ccb", "ba", "aacb", "c"]


ELLIPSOIDS = ("VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")
#: Rows of programs that have another row: all that is asked of every program is asked of these by
#: ``make long``.
LONG = {
    *(f"gaussian_mixture {model}" for model in ELLIPSOIDS if model != "VEV"),
    "gaussian_mixture EEI",
    "gaussian_mixture EII",
    "gaussian_mixture diagonal",
    "gaussian_mixture spherical",
    "gaussian_mixture tied",
    "hidden_markov second order",
    "hidden_markov stationary",
    "poisson_mixture univariate",
    "recurrent_chain lstm",
}
#: Rows whose fits are like another row's: their densities are compared in the quick tests
#: (``test_programs.py``), and all that is asked elsewhere is asked of these by ``make long``.
LONG_ELSEWHERE = {
    "gaussian_mixture VEV",
    "logistic_graph_chain",
    "nade",
    "ordered_chain",
    "pixel_recurrent",
    "recurrent_graph_chain",
}


@dataclass(frozen=True)
class Program:
    """One row of the table.

    Args:
        name: of the program in the catalogue.
        variant: what is special about the row.
        data: as the program receives them.
        arguments: of the program.
        site: name of the data site.
        standard: the same program with NumPyro's own distributions.
        absent: further arguments with which the program generates without data.
        generated: shape of one generated data set.
        sites: names of the global sites.
        raw_data: data as a person gives them to ``fit`` (default: the same).
        fit_arguments: arguments of ``fit`` (default: the program's).
        interior: hyper-parameters that keep posterior modes off the boundary.
        point: the method that finds a mode.
        plate: over the rows (default: "sequence" for tokens, else "row").
    """

    name: str
    variant: str
    data: np.ndarray
    arguments: dict[str, Any]
    standard: Callable
    absent: dict[str, Any]
    generated: tuple[int, ...]
    sites: tuple[str, ...]
    site: str = "x"
    raw_data: Any = None
    fit_arguments: dict[str, Any] | None = None
    interior: dict[str, Any] = field(default_factory=dict)
    point: str = "em"
    plate: str = ""

    @property
    def label(self) -> str:
        """Name and variant."""
        return f"{self.name} {self.variant}".strip()

    @property
    def kwargs(self) -> dict[str, Any]:
        """Everything that the program is called with, data included."""
        return {self.site: self.data, **self.arguments}

    @property
    def options(self) -> dict[str, Any]:
        """The program's arguments as ``fit`` is given them."""
        chosen = self.arguments if self.fit_arguments is None else self.fit_arguments
        return {**chosen, **self.interior}

    @property
    def to_fit(self) -> Any:
        """The data for ``fit``."""
        return self.data if self.raw_data is None else self.raw_data


def _pixel_row(name: str, arguments: dict[str, Any], standard: Callable, sites: tuple) -> Program:
    absent = {"rows": 5, "features": 3}
    return Program(name, "", BITS, arguments, standard, absent, (5, 3), sites, point="map")


RECURRENT_SITES = ("embedding", "start", "input", "recurrent", "bias", "output", "output_bias")


def _token_row(
    name: str, standard: Callable, sites: tuple[str, ...], arguments: dict[str, Any], **more: Any
) -> Program:
    return Program(
        name,
        more.pop("variant", ""),
        TOKENS,
        {"vocabulary": 3, **arguments},
        standard,
        {"sequences": 5, "positions": 9},
        (5, 9),
        sites,
        site="tokens",
        raw_data=SEQUENCES,
        fit_arguments=arguments,
        **more,
    )


def _recurrent_row(cell: str) -> Program:
    arguments = {"embedding": 2, "hidden": 2, "cell": cell}
    return _token_row(
        "recurrent_chain",
        sequences.recurrent,
        RECURRENT_SITES,
        arguments,
        variant=cell,
        point="map",
    )


def _graph_row(
    name: str, standard: Callable, sites: tuple[str, ...], arguments: dict, **more: Any
) -> Program:
    return Program(
        name,
        "",
        graphs.DATA,
        {"width": graphs.WIDTH, **arguments},
        standard,
        {"graphs": 5, "positions": 9},
        (5, 9),
        sites,
        raw_data=graphs.GRAPHS,
        plate="graph",
        **more,
    )


def _gaussian_row(covariance: str, scatter: str) -> Program:
    return Program(
        "gaussian_mixture",
        covariance,
        X,
        {"clusters": CLUSTERS, "covariance": covariance},
        mixtures.gaussian,
        {"rows": 5, "features": 3},
        (5, 3),
        ("weights", "loc", scatter, "scale_rate" if scatter == "scale" else "scale_diagonal"),
        interior={"concentration": 2.0},
    )


def _ellipsoid_row(model: str) -> Program:
    row = _gaussian_row(model, "scale")
    axes = () if model[2] == "I" else ("orientation",)
    sites = (*row.sites, "axis_shape", *axes)
    return replace(row, standard=mixtures.ellipsoids, sites=sites)


PROGRAMS = [
    _gaussian_row("full", "covariance"),
    _gaussian_row("tied", "covariance"),
    _gaussian_row("diagonal", "scale"),
    _gaussian_row("spherical", "scale"),
    *map(_ellipsoid_row, ELLIPSOIDS),
    _gaussian_row("EII", "scale"),
    _gaussian_row("EEI", "scale"),
    Program(
        "gaussian_mixture",
        "univariate",
        X[:, 0],
        {"clusters": CLUSTERS},
        mixtures.gaussian,
        {"rows": 5, "features": 1},
        (5,),
        ("weights", "loc", "scale", "scale_rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "bernoulli_mixture",
        "",
        BITS,
        {"clusters": CLUSTERS},
        mixtures.bernoulli,
        {"rows": 5, "features": 3},
        (5, 3),
        ("weights", "probs"),
        interior={"concentration": 2.0, "ones": 2.0, "zeros": 1.5},
    ),
    Program(
        "categorical_mixture",
        "",
        CODES,
        {"clusters": CLUSTERS, "levels": LEVELS},
        mixtures.categorical,
        {"rows": 5},
        (5, 2),
        ("weights", "probs"),
        fit_arguments={"clusters": CLUSTERS},
        interior={"concentration": 2.0, "level_concentration": 1.5},
    ),
    Program(
        "poisson_mixture",
        "",
        COUNTS,
        {"clusters": CLUSTERS},
        mixtures.poisson,
        {"rows": 5, "features": 3},
        (5, 3),
        ("weights", "rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "poisson_mixture",
        "univariate",
        COUNTS[:, 0],
        {"clusters": CLUSTERS},
        mixtures.poisson,
        {"rows": 5, "features": 1},
        (5,),
        ("weights", "rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "hidden_markov",
        "",
        SERIES,
        {"states": 2},
        sequences.hidden,
        {"sequences": 5, "positions": 9, "features": 3},
        (5, 9, 3),
        ("initial", "transition", "loc", "scale", "scale_rate"),
        interior={"concentration": 2.0, "initial_concentration": 2.0},
    ),
    Program(
        "hidden_markov",
        "stationary",
        COUNT_SERIES,
        {"states": 2, "emission": "poisson", "start": "stationary"},
        sequences.hidden,
        {"sequences": 5, "positions": 9, "features": 3},
        (5, 9, 3),
        ("transition", "rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "hidden_markov",
        "second order",
        COUNT_SERIES,
        {"states": 2, "emission": "poisson", "order": 2},
        sequences.hidden_pairs,
        {"sequences": 5, "positions": 9, "features": 3},
        (5, 9, 3),
        ("initial", "initial_transition", "transition", "rate"),
        interior={"concentration": 2.0, "initial_concentration": 2.0},
    ),
    _token_row(
        "markov_chain",
        sequences.chain,
        ("initial", "transition"),
        {},
        interior={"initial_concentration": 2.0, "concentration": 1.5},
    ),
    _token_row(
        "hidden_token_chain",
        sequences.hidden_tokens,
        ("initial", "transition", "probs"),
        {"states": 2},
        interior={
            "initial_concentration": 2.0,
            "transition_concentration": 2.0,
            "concentration": 1.5,
        },
    ),
    _token_row(
        "ordered_chain",
        sequences.ordered,
        ("initial", "transition"),
        {"order": 2},
        interior={"initial_concentration": 2.0, "concentration": 1.5},
    ),
    _token_row(
        "chain_mixture",
        sequences.chains,
        ("weights", "initial", "transition"),
        {"clusters": CLUSTERS},
        interior={
            "concentration": 2.0,
            "initial_concentration": 2.0,
            "transition_concentration": 1.5,
        },
    ),
    _recurrent_row("gru"),
    _recurrent_row("lstm"),
    _pixel_row("pixel_logistic", {}, pixels.logistic_scan, ("coupling", "bias")),
    _pixel_row("nade", {"hidden": 2}, pixels.nade, ("inward", "bias", "outward", "outward_bias")),
    _pixel_row(
        "pixel_recurrent", {"embedding": 2, "hidden": 2}, pixels.pixel_recurrent, RECURRENT_SITES
    ),
    _graph_row(
        "graph_chain",
        graphs.chain,
        ("edge", "end"),
        {"nodes": graphs.NODES},
        fit_arguments={},
        interior={"edge_ones": 2.0, "edge_zeros": 1.5, "end_ones": 2.0, "end_zeros": 1.5},
    ),
    _graph_row(
        "logistic_graph_chain",
        graphs.logistic,
        ("edge", "end"),
        {},
        fit_arguments={},
        point="map",
    ),
    _graph_row(
        "recurrent_graph_chain",
        graphs.recurrent,
        graphs.RECURRENT_SITES,
        {"hidden": 2},
        fit_arguments={"hidden": 2},
        point="map",
    ),
]
