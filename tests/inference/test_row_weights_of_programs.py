"""Every program whose priors look at its data: they are those of the rows written out."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import pytest
from jax import random

from ppl_models import catalogue, fit, log_density, loo, predict
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.inference.row_weights import prior_unlike_repeated, refuse_weights
from ppl_models.program.log_joint import log_joint
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.rows.weights import take_weights, weights_of_lines

_g = np.random.default_rng(3)
ROWS = 20
PLANE = (_g.normal(size=(ROWS, 2)) * [1.0, 3.0] + [0.0, 40.0]).round(2)
LINE = (PLANE[:, 0] + _g.normal(size=ROWS)).round(2)
COUNTS = _g.poisson(4.0, size=(ROWS, 2))
LETTERS = np.array(list("abc"))[_g.integers(3, size=(ROWS, 2))]
TIMES = 1.0 + np.arange(ROWS) % 4
LINES = {"response": LINE, "covariates": PLANE}


class Weighed(NamedTuple):
    """A program, and data to weigh."""

    name: str
    data: dict[str, Any]
    arguments: dict[str, Any] = {}


PROGRAMS = [
    Weighed("regression_mixture", LINES),
    Weighed("regression_mixture", {**LINES, "response": COUNTS[:, 0]}, {"family": "poisson"}),
    Weighed("expert_mixture", LINES),
    Weighed("latent_class_regression",
            {"answers": LETTERS, "covariates": PLANE, "outcome": LINE}, {"distal": "gaussian"}),
    Weighed("negative_binomial_mixture", {"x": COUNTS}),
    Weighed("zero_inflated_mixture", {"x": COUNTS}),
    Weighed("hurdle_mixture", {"x": COUNTS}),
    Weighed("mixed_mixture", {"numbers": PLANE, "counts": COUNTS, "categories": LETTERS}),
    Weighed("censored_mixture", {"x": LINE, "censored": COUNTS[:, 0] % 2}),
    Weighed("gaussian_noise_mixture", {"x": PLANE}),
]  # fmt: skip


@pytest.mark.parametrize("of", PROGRAMS, ids=lambda of: " ".join([of.name, *of.arguments.values()]))
def test_priors_are_those_of_the_rows_written_out(of, double_precision):
    function = catalogue.program(of.name)
    arguments = {"clusters": 2, **of.arguments}

    def read(data, times=None):
        return read_program(
            function, read_data(function, data), arguments, {}, "float64", weights=times
        )

    model, structure = read(of.data, TIMES)
    refuse_weights("em", Problem(model, structure))
    assert prior_unlike_repeated(model, structure) is None
    written_out, _ = read({n: np.repeat(v, TIMES.astype(int), 0) for n, v in of.data.items()})
    for name in ("centre", "box"):  # what is computed of the data beside the priors
        if name in model.arguments:
            np.testing.assert_allclose(
                model.arguments[name], written_out.arguments[name], rtol=1e-12
            )


def test_what_new_rows_are_measured_from_is_weighed_too(double_precision):
    function = catalogue.program("regression_mixture")
    fitted = read_data(function, LINES)
    few = read_data(function, {n: v[:3] for n, v in LINES.items()}, fresh=False)
    model, _ = read_program(
        function, few, {"clusters": 2}, {}, "float64", fitted, fitted_weights=TIMES
    )
    expected = np.average(PLANE, axis=0, weights=TIMES)
    np.testing.assert_allclose(model.arguments["centre"], expected, rtol=1e-12)
    assert not np.allclose(expected, PLANE.mean(0))


def test_rows_that_count_for_nothing_say_nothing_of_the_data(double_precision):
    function = catalogue.program("gaussian_noise_mixture")
    far = {"x": np.vstack([PLANE, [[900.0, 900.0]]])}
    model, structure = read_program(
        function, read_data(function, far), {"clusters": 2}, {}, "float64",
        weights=np.append(TIMES, 0.0),
    )  # fmt: skip
    assert prior_unlike_repeated(model, structure) is None
    np.testing.assert_allclose(model.arguments["box"], [PLANE.min(0), PLANE.max(0)])


@pytest.mark.long
def test_a_fit_of_a_table_of_patterns_is_that_of_its_rows():
    arguments = {"clusters": 2, "method": "em", "seed": 0, "starts": 4, "predictive": 0}
    turned = np.where(np.arange(ROWS) % 2, 1.0, -1.0)  # two lines, far apart
    table = {"response": LINE * turned + 20 * turned, "covariates": PLANE}
    complete = {n: np.repeat(v, TIMES.astype(int), 0) for n, v in table.items()}
    one = fit("regression_mixture", table, weights=TIMES, tolerance=0.0, **arguments)
    other = fit("regression_mixture", complete, tolerance=0.0, **arguments)
    np.testing.assert_allclose(one["sample_stats"]["lp"], other["sample_stats"]["lp"], rtol=1e-9)


# ---- lines of data, several a row ----------------------------------------------------------------

LABELS = pd.DataFrame(
    {
        "item": np.repeat(list("abcd"), 3),
        "annotator": np.tile(["x", "y", "z"], 4),
        "label": [0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1],
        "n": [2, 1, 3, 1, 0, 2, 1, 1, 4, 2, 1, 1],
    }
)
WRITTEN_OUT = LABELS.loc[LABELS.index.repeat(LABELS["n"])].drop(columns="n").reset_index(drop=True)


def test_labels_that_count_several_times_are_labels_written_out(double_precision):
    function = catalogue.program("dawid_skene")
    data, left = weights_of_lines(function, *take_weights(LABELS, "n"))
    assert left is None
    problems = [
        Problem(*read_program(function, read_data(function, d), {}, {}, "float64"))
        for d in (data, WRITTEN_OUT)
    ]
    values = problems[0].structure.initial(random.key(1))
    densities = [
        float(jax.jit(lambda v, p=p: log_joint(p.model, p.structure, v))(values)) for p in problems
    ]
    np.testing.assert_allclose(*densities, rtol=1e-12)


def test_weights_of_lines_are_given_once():
    function = catalogue.program("dawid_skene")
    twice = {**{n: LABELS[n] for n in WRITTEN_OUT}, "line_weights": LABELS["n"]}
    with pytest.raises(InputError, match="give one of them"):
        weights_of_lines(function, twice, np.ones(len(LABELS)))


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # of so few draws
@pytest.mark.long  # (two fits of EM and two of Gibbs; the density is compared above)
def test_a_fit_of_labels_with_counts_is_that_of_the_labels_written_out():
    arguments = {"method": "em", "seed": 0, "starts": 2, "predictive": 0, "tolerance": 0.0}
    one = fit("dawid_skene", LABELS, weights="n", **arguments)
    other = fit("dawid_skene", WRITTEN_OUT, **arguments)
    for name, value in other["posterior"].data_vars.items():
        np.testing.assert_allclose(one["posterior"][name], value, atol=1e-9)
    np.testing.assert_allclose(one["sample_stats"]["lp"], other["sample_stats"]["lp"], rtol=1e-9)
    np.testing.assert_allclose(log_density(one), log_density(other), rtol=1e-9)
    np.testing.assert_allclose(predict(one, WRITTEN_OUT), predict(one), atol=1e-9)
    draws = {"method": "gibbs", "seed": 0, "chains": 2, "warmup": 20, "draws": 50, "predictive": 0}
    one = fit("dawid_skene", LABELS, weights="n", **draws)
    other = fit("dawid_skene", WRITTEN_OUT, **draws)
    for name in ("elpd", "p"):  # the same random numbers, for items are what is drawn
        actual, expected = (getattr(loo(t, mend=False), name) for t in (one, other))
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
