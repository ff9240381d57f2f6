"""The diagnosis of points: starts, convergence, dead components, and never an R-hat."""

import numpy as np
import pytest
import xarray as xr
from hand_made import FULL, SPHERICAL, as_fit

from ppl_models import catalogue
from ppl_models.diagnostics.diagnose import diagnose
from ppl_models.inference.method import declaration
from ppl_models.program.arguments.signature import defaults


def point(
    ends=(-100.0, -100.0, -105.0),
    *,
    converged=(True, True, True),
    weights=(0.6, 0.4),
    scale=(1.0, 2.0),
    covariance=None,
    method="em",
    configuration=None,
):
    """An EM result with starts that end at given objectives."""
    count, iterations = len(ends), 6
    objective = np.full((count, iterations), np.nan)
    for start, end in enumerate(ends):
        steps = 3 + start % 3
        objective[start, :steps] = end - np.arange(steps)[::-1]
    selected = np.arange(count) == int(np.nanargmax(ends))
    sample = ("chain", "draw")
    posterior = xr.Dataset(
        {
            "weights": ((*sample, "cluster"), np.array(weights)[None, None]),
            "loc": ((*sample, "cluster", "feature"), np.zeros((1, 1, len(weights), 2))),
        }
    )
    spread = "scale" if covariance is None else "covariance"
    if covariance is not None:
        dims = (*sample, "cluster", "feature", "feature_other")
        posterior["covariance"] = (dims, np.array(covariance)[None, None])
    else:
        posterior["scale"] = ((*sample, "cluster"), np.array(scale)[None, None])
    x = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 100.0]
    groups = {
        "posterior": posterior,
        "observed_data": xr.Dataset({"x": (("row", "feature"), x)}),
        "starts": xr.Dataset(
            {
                "objective": (("start", "iteration"), objective),
                "iterations": ("start", np.isfinite(objective).sum(axis=1)),
                "converged": ("start", np.array(converged[:count])),
                "best": ("start", selected),
            }
        ),
    }
    declared = declaration(method)
    options = {"starts": count, "iterations": 500, "tolerance": 1e-9}
    return as_fit(
        groups,
        family=SPHERICAL if covariance is None else FULL,
        parameters=("loc", spread),
        clusters=len(weights),
        kind="point",
        method=method,
        assignments=declared.assignments,
        objective=declared.objective,
        configuration=options if configuration is None else configuration,
    )


def severities(diagnosis, word):
    """The severities of findings that say a word."""
    return [finding.severity for finding in diagnosis.findings if word in finding.what]


def test_a_good_point():
    diagnosis = diagnose(point())
    assert diagnosis.verdict == "This fit can be trusted."
    assert severities(diagnosis, "2 of 3 starts reached the best objective") == ["ok"]
    assert severities(diagnosis, "converged in 3 iterations") == ["ok"]
    assert diagnosis.table["objective"].tolist() == [-100.0, -100.0, -105.0]
    assert "r_hat" not in diagnosis.table and "R-hat" not in str(diagnosis)


@pytest.mark.parametrize(
    ("ends", "word", "severity"),
    [
        ((-100.0, -101.0, -105.0), "Only one of 3", "warning"),
        ((-100.0,), "only one start", "warning"),
        ((-100.0, -100.0 - 5e-5, -105.0), "2 of 3", "ok"),
        ((-100.0, -100.0 - 5e-4, -105.0), "Only one of 3", "warning"),
        ((-100.0, -100.0, np.nan), "1 of 3 starts ended with NaN", "warning"),
    ],
)
def test_agreement_of_starts(ends, word, severity):
    assert severities(diagnose(point(ends)), word) == [severity]


def test_a_start_that_did_not_converge_matters_when_kept():
    assert diagnose(point(converged=(True, False, False))).trustworthy
    diagnosis = diagnose(point(converged=(False, True, True), configuration={"iterations": 3}))
    assert not diagnosis.trustworthy
    assert severities(diagnosis, "had not converged") == ["problem"]
    stopped = diagnose(point(converged=(False, True, True)))  # before its iterations were over
    assert severities(stopped, "stands still") == ["problem"]


def test_an_optimum_in_closed_form_needs_no_other_start(built_ins, trees):
    assert trees(built_ins["markov_chain"]).attrs["closed_form"] == 1
    assert "closed_form" not in trees(built_ins["gaussian_mixture full"]).attrs
    tree = point((-100.0,))
    tree.attrs["closed_form"] = 1
    diagnosis = diagnose(tree)
    assert diagnosis.verdict == "This fit can be trusted."
    assert severities(diagnosis, "start reached") == severities(diagnosis, "one start") == []


@pytest.mark.parametrize("method", ["em", "map", "kmeans", "dp_means"])
def test_advice_names_options_that_the_method_has(method):
    options = defaults(getattr(catalogue.method(method), method))
    options |= {"starts": 1} if "starts" in options else {}
    options |= {"iterations": 3} if "iterations" in options else {}
    tree = point((-100.0,), converged=(False,), method=method, configuration=options)
    advice = " ".join(finding.advice for finding in diagnose(tree).findings)
    named = [n for n in ("iterations", "steps", "tolerance") if n in advice]
    assert named and set(named) <= set(options)
    assert ("Fit with starts=20" in advice) == ("starts" in options)


def test_more_starts_are_not_asked_for_where_they_were_not_taken():
    for options, advice in (
        ({"starts": 16}, "method='map'"),
        ({"starts": 9, "centres": []}, "out"),
    ):
        tree = point((-100.0,), configuration=options)
        (finding,) = diagnose(tree).of("warning")
        assert advice in finding.advice and "Fit with" not in finding.advice


def test_an_empty_component():
    diagnosis = diagnose(point(weights=(0.999, 0.001)))
    assert severities(diagnosis, "Component 1 is empty") == ["warning"]


@pytest.mark.parametrize(
    ("arguments", "actual"),
    [
        ({"scale": (1.0, 1e-5)}, ["problem"]),
        ({"scale": (1.0, 0.1)}, []),
        ({"scale": (1.0, 1e-5), "method": "kmeans"}, []),
        ({"covariance": [np.diag([1.0, 1e4]), np.diag([1.0, 1e-6])]}, ["problem"]),
        ({"covariance": [np.diag([1.0, 1e4]), np.diag([0.5, 5e3])]}, []),
        ({"covariance": [np.diag([1.0, 1e4]), np.outer([1, 100], [1, 100])]}, ["problem"]),
    ],
)
def test_collapsed_components(arguments, actual):
    assert severities(diagnose(point(**arguments)), "Component 1 is collapsed") == actual


def test_a_start_that_collapsed_matters_when_kept():
    tree = point()
    tree["starts"].dataset = (
        tree["starts"].to_dataset().assign(collapsed=("start", [False, True, True]))
    )
    assert diagnose(tree).trustworthy
    tree["starts"].dataset = (
        tree["starts"].to_dataset().assign(collapsed=("start", [True, False, False]))
    )
    assert severities(diagnose(tree), "collapsed component") == ["problem"]


def test_a_point_without_starts():
    tree = point()
    del tree["starts"]
    diagnosis = diagnose(tree)
    assert diagnosis.trustworthy and diagnosis.table.empty
