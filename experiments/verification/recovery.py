"""``python -m experiments.verification.recovery``: do default fits find two groups?

Every built-in mixture draws rows of two groups, near and far apart, as tight as each other and not,
and is fitted by its default priors: by EM, and by Gibbs sampling where it serves the program, in
double and in single precision. A fit has found the groups if it puts about as many rows into theirs
as the truth would (an error of 0.03 is let pass) and explains the rows as well (a tenth of a nat a
row is). Words choose the programs whose name contains one of them; what is found is kept in
``results_recovery.md``, a line for each program's last run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro import handlers
from scipy.special import logsumexp

from experiments.benchmarks.timing import machine
from ppl_models import catalogue, fit, log_density, predict
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.arguments.signature import data_parameters

ROWS = 400  #: of 120 one draw in some twenty has another optimum, which explains them better
RESULTS = Path(__file__).with_name("results_recovery.md")
#: distance of the groups in standard deviations of the tighter, and how often as wide the other is
REALS = ((3.0, 1.0), (30.0, 1.0), (3000.0, 1.0), (500.0, 100.0))
EQUAL = REALS[:3]  #: where all clusters have one scale
COUNTS = ((3.0, 1.0), (30.0, 1.0), (3000.0, 1.0))  #: one rate in units of the other
BITS = ((0.9, 1.0), (0.99, 1.0))  #: probability of what is usual in a group
METHODS: dict[str, dict[str, Any]] = {
    "em": {"starts": 4},
    "gibbs": {"chains": 2, "warmup": 100, "draws": 100},
}
HEADER = (
    "| program | apart | times as wide | by the truth | em | gibbs | em, float32 | gibbs, float32 "
    "| run |\n|---|---:|---:|---:|---|---|---|---|---|"
)
WEIGHTS = {"weights": np.array([0.5, 0.5])}


@dataclass(frozen=True)
class Case:
    """A program and its truths.

    Args:
        truth: values of the global sites by distance and width; those left out do not matter.
        settings: pairs of distance and width.
        arguments: of the program, also when it is fitted.
        sizes: of the program where it draws.
        constants: data that it does not draw.
        program: its name, where the case has another.
    """

    truth: Callable[[float, float], Mapping[str, Any]]
    settings: tuple[tuple[float, float], ...] = REALS
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    program: str = ""


def _two(distance: float, features: int) -> np.ndarray:
    return np.array([[0.0], [distance]]) + np.zeros(features)


def _normal(distance: float, wide: float, features: int = 1) -> dict[str, Any]:
    return WEIGHTS | {
        "loc": _two(distance, features),
        "scale": np.array([[1.0], [wide]]) + np.zeros(features),
    }


def _full(distance: float, wide: float, name: str = "covariance") -> dict[str, Any]:
    matrix = np.array([[1.0, 0.3], [0.3, 1.0]])
    return WEIGHTS | {"loc": _two(distance, 2), name: np.stack([matrix, wide**2 * matrix])}


def _counts(distance: float, _: float) -> dict[str, Any]:
    rate = np.array([[5.0], [5.0 * distance]]) + np.zeros(3)
    return WEIGHTS | {"rate": rate, "size": np.full((2, 3), 20.0), "gate": np.full((2, 3), 0.2)}


def _bits(strength: float, _: float) -> np.ndarray:
    usual = np.tile([1, 0, 0, 1], 3)
    return np.where(np.stack([usual, 1 - usual]), strength, 1 - strength)


def _levels(strength: float, wide: float) -> np.ndarray:
    ones = _bits(strength, wide)
    return np.stack([1 - ones, ones], -1).reshape(2, -1)


def _line(distance: float, wide: float) -> dict[str, Any]:
    return WEIGHTS | {
        "intercept": np.array([0.0, distance]),
        "slope": np.array([[1.0], [-1.0]]),
        "scale": np.array([1.0, wide]),
    }


_COVARIATE = np.random.default_rng(0).normal(size=(ROWS, 1))
_PLANE, _ROW = {"features": 2}, {"rows": ROWS}
_COUNT_SIZES, _BIT_SIZES = {"features": 3, **_ROW}, {"features": 12, **_ROW}

CASES: dict[str, Case] = {
    "gaussian_mixture, univariate": Case(
        lambda d, s: WEIGHTS | {"loc": np.array([0.0, d]), "scale": np.array([1.0, s])}, sizes=_ROW
    ),
    "gaussian_mixture, full": Case(_full, sizes=_PLANE | _ROW),
    "gaussian_mixture, diagonal": Case(
        lambda d, s: _normal(d, s, 2), arguments={"covariance": "diagonal"}, sizes=_PLANE | _ROW
    ),
    "gaussian_mixture, spherical": Case(
        lambda d, s: WEIGHTS | {"loc": _two(d, 2), "scale": np.array([1.0, s])},
        arguments={"covariance": "spherical"},
        sizes=_PLANE | _ROW,
    ),
    "gaussian_mixture, tied": Case(
        lambda d, s: _full(d, s) | {"covariance": np.array([[1.0, 0.3], [0.3, 1.0]])},
        EQUAL,
        {"covariance": "tied"},
        _PLANE | _ROW,
    ),
    "gaussian_noise_mixture": Case(
        lambda d, s: _full(d, s) | {"weights": np.array([0.48, 0.48, 0.04])},
        sizes={"volume": 4e4, "box": np.array([[-100.0] * 2, [100.0] * 2]), **_PLANE, **_ROW},
        settings=REALS[:2],
    ),
    "student_t_mixture": Case(
        lambda d, s: _full(d, s, "scatter") | {"df": np.array([10.0, 10.0])}, sizes=_PLANE | _ROW
    ),
    "factor_analysis_mixture": Case(
        lambda d, s: (
            _normal(d, s, 4) | {"loadings": np.array([1.0, s])[:, None, None] * np.ones((2, 4, 1))}
        ),
        sizes={"features": 4, **_ROW},
    ),
    "extreme_deconvolution": Case(
        _full, sizes=_PLANE, constants={"errors": np.full((ROWS, 2), 0.2)}
    ),
    "censored_mixture": Case(
        lambda d, s: WEIGHTS | {"loc": np.array([0.0, d]), "scale": np.array([1.0, s])}, sizes=_ROW
    ),
    "mixed_mixture": Case(
        lambda d, s: _normal(d, s, 1) | {"bit_probs": np.array([[0.3], [0.7]])},
        sizes={"number_columns": 1, "bit_columns": 1, **_ROW},
    ),
    "growth_mixture": Case(
        lambda d, s: (
            WEIGHTS
            | {
                "curve": np.array([[0.0, 0.1], [d, 0.3]]),
                "spread": np.array([0.5, 0.1]),
                "noise": np.array(1.0),
            }
        ),
        EQUAL,
        sizes={"times": (0.0, 1.0, 2.0, 3.0), **_ROW},
    ),
    "regression_mixture": Case(_line, constants={"covariates": _COVARIATE}),
    "expert_mixture": Case(
        lambda d, s: (
            _line(d, s)
            | {"gate_intercept": np.array([0.5, -0.5]), "gate_slope": np.array([[1.0, -1.0]])}
        ),
        constants={"covariates": _COVARIATE},
    ),
    "poisson_mixture": Case(_counts, COUNTS, sizes=_COUNT_SIZES),
    "negative_binomial_mixture": Case(_counts, COUNTS, sizes=_COUNT_SIZES),
    "zero_inflated_mixture": Case(_counts, COUNTS, sizes=_COUNT_SIZES),
    "hurdle_mixture": Case(_counts, COUNTS, sizes=_COUNT_SIZES),
    "bernoulli_mixture": Case(lambda p, s: WEIGHTS | {"probs": _bits(p, s)}, BITS, {}, _BIT_SIZES),
    "categorical_mixture": Case(
        lambda p, s: WEIGHTS | {"probs": _levels(p, s)}, BITS, {}, {"levels": (2,) * 12, **_ROW}
    ),
    "latent_class_regression": Case(
        lambda p, s: {
            "probs": _levels(p, s),
            "intercept": np.array([0.5, -0.5]),
            "slope": np.array([[1.0, -1.0]]),
        },
        BITS,
        sizes={"levels": (2,) * 12, **_ROW},
        constants={"covariates": _COVARIATE},
    ),
}


def drawn(
    name: str, case: Case, distance: float, wide: float
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Data, the group of every row, and the truth's ``log p(z = k, row)``, ``(cluster, row)``."""
    function = catalogue.program(case.program or name.split(",")[0])
    truth = {n: jnp.asarray(v, float) for n, v in case.truth(distance, wide).items()}
    constants = dict(case.constants)
    options = {"clusters": 2, **case.arguments, **case.sizes}

    def trace(data: Mapping[str, Any], **held: Any) -> dict[str, Any]:
        program = handlers.substitute(function, data=truth | held)
        return handlers.trace(handlers.seed(program, random.key(1))).get_trace(
            **constants, **data, **options
        )

    made = trace({})
    sites = [n for n in data_parameters(function) if n in made]
    data = {n: np.asarray(made[n]["value"]) for n in sites}
    table = []
    for k in range(len(truth["weights"]) if "weights" in truth else 2):
        again = trace({}, z=jnp.full(ROWS, k), **data)
        row = sum(
            np.asarray(again[n]["fn"].log_prob(again[n]["value"])).reshape(ROWS, -1).sum(1)
            for n in ["z", *sites]
        )
        table.append(row)
    return constants | data, np.asarray(made["z"]["value"]), np.array(table)


def recovers(
    name: str, case: Case, data: dict[str, Any], group: np.ndarray, table: np.ndarray, **how: Any
) -> str:
    """Whether a fit recovers the groups: "yes", or in bold by how much it does not."""
    function = case.program or name.split(",")[0]
    try:
        tree = fit(function, data, clusters=2, seed=1, predictive=0, **case.arguments, **how)
    except (InputError, UnsupportedError) as refusal:
        return f"refused: {str(refusal).split(':')[0]}"
    labels = np.asarray(predict(tree)).reshape(ROWS, -1).argmax(1)
    right, best = agreement(labels, group), agreement(table.argmax(0), group)
    below = (logsumexp(table, axis=0).sum() - float(np.asarray(log_density(tree)).sum())) / ROWS
    if right > best - 0.03 and below < 0.1:
        return "yes"
    return f"**{right:.2f} of rows, {below:.2g} nats a row below**"


def agreement(labels: np.ndarray, group: np.ndarray) -> float:
    """Share of the rows in their group, whatever the two are called; a third is noise.

    >>> float(agreement(np.array([0, 1, 2, 1]), np.array([1, 0, 2, 1])))
    0.75
    """
    swapped = np.where(group < 2, 1 - group, group)
    return max(np.mean(labels == group), np.mean(labels == swapped))


def line(name: str, distance: float, wide: float) -> str:
    """One row of the table."""
    case = CASES[name]
    with jax.enable_x64(True):
        data, group, table = drawn(name, case, distance, wide)
    cells = [
        recovers(name, case, data, group, table, method=method, precision=precision, **options)
        for precision in ("float64", "float32")
        for method, options in METHODS.items()
    ]
    best = agreement(table.argmax(0), group)
    return " | ".join(
        ["|", name, f"{distance:g}", f"{wide:g}", f"{best:.2f}", *cells, f"{date.today()} |"]
    ).replace("| |", "|", 1)


def keep(rows: list[str]) -> None:
    """Put lines into the file in place of those of the same programs."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else HEADER
    old = text.split(HEADER)[1].splitlines()
    names = {row.split("|")[1].strip() for row in rows}
    others = [r for r in old if r and r.split("|")[1].strip() not in names]
    order = list(CASES)
    rows = sorted([*others, *rows], key=lambda r: order.index(r.split("|")[1].strip()))
    note = (
        "Do default fits find two groups? `python -m experiments.verification.recovery` says what "
        f"is asked. {ROWS} rows; the machine of the last run: {machine()}."
    )
    RESULTS.write_text("\n".join([note, "", HEADER, *rows, ""]), encoding="utf-8")


def main(words: list[str]) -> None:
    """Fit all programs, or those whose name contains a word that was given."""
    for name, case in CASES.items():
        if words and not any(word in name for word in words):
            continue
        rows = []
        for setting in case.settings:
            rows.append(line(name, *setting))
            print(rows[-1], flush=True)
        keep(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
