"""What methods declare about themselves, and what their results carry."""

import numpy as np
import pytest
from jax import random

from ppl_models import catalogue
from ppl_models.inference.method import Method, declaration
from ppl_models.inference.problem import Problem
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope


@pytest.mark.parametrize("name", catalogue.method_names())
def test_every_method_declares_itself(name):
    assert isinstance(declaration(name), Method)


@pytest.mark.parametrize(
    ("name", "options", "objective"),
    [
        ("em", {}, "log posterior density"),
        ("em", {"priors": "flat"}, "log-likelihood"),
        ("stochastic_em", {"iterations": 3}, "log posterior density"),
        ("vb", {"iterations": 3, "draws": 5}, "evidence lower bound"),
        ("hard", {}, "log joint density of assignments and parameters"),
        ("hard", {"priors": "flat"}, "classification log-likelihood"),
        ("kmeans", {}, "within-cluster sum of squares"),
        ("dp_means", {}, "DP-means cost"),
        # (whose results are looked at in test_stochastic.py and test_approximation.py too)
        pytest.param("map", {"steps": 20}, "log posterior density", marks=pytest.mark.long),
        pytest.param(
            "svi", {"steps": 20, "draws": 5}, "evidence lower bound", marks=pytest.mark.long
        ),
        ("gibbs", {"warmup": 5, "draws": 5}, "log posterior density"),
        ("gibbs", {"warmup": 5, "draws": 5, "starts": 0}, None),
    ],
)
def test_a_result_names_what_was_optimised_and_which_way(name, options, objective):
    data = np.r_[np.linspace(-1, 1, 12), np.linspace(8, 9, 12)][:, None]
    module = catalogue.method(name)
    with scope("float64"):
        function = catalogue.program("gaussian_mixture")
        observed = read_data(function, data)
        arguments = {"clusters": 2, "covariance": "spherical"}
        problem = Problem(*read_program(function, observed, arguments, {}, "float64"))
        result = getattr(module, name)(problem, random.key(0), **options)
    assert result.method.kind == declaration(name).kind
    assert result.assignments == declaration(name).assignments
    assert getattr(result.objective, "name", None) == objective
    if objective is None:
        assert "objective" not in result.starts
    else:
        _best_is_kept(result)


def _best_is_kept(result):
    final, selected = result.starts["final"][1], result.starts.get("best", (None, [True]))[1]
    assert (
        np.nanmax(final * result.objective.sign) == final[selected].item() * result.objective.sign
    )
