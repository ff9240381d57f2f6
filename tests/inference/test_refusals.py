"""What a method cannot do ends in one sentence that names the site and the way out."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import catalogue, fit
from ppl_models.distributions.convert import as_family
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.problem import Problem
from ppl_models.inference.program import Model

X = np.random.default_rng(0).normal(size=12)
PLANE = np.random.default_rng(1).normal(size=(12, 2))
HOLED = PLANE.copy()
HOLED[3, 1] = np.nan

#: own program, method, the error, what its sentence says
OWN = [
    ("nothing_emitted", "em", InputError, "emits nothing: it needs an observed site"),
    ("observed_outside_plates", "em", UnsupportedError, "site 'x' is observed outside any plate"),
    ("two_discrete_sites", "nuts", UnsupportedError, "sites 'a', 'b' are all discrete and hidden"),
    ("with_a_param", "nuts", UnsupportedError, "site 'loc' is a numpyro.param: give it a prior"),
    ("subsampled", "em", UnsupportedError, "plate 'row' takes a subsample"),
    (
        "another_name",
        "em",
        UnsupportedError,
        "'x' observes the data of parameter 'data': call both",
    ),
    ("of_squares", "em", UnsupportedError, "'x' observes something else than a parameter of this"),
    ("regression", "em", UnsupportedError, "site 'x' differ from row to row.*use method='nuts'"),
    ("regression", "hard", UnsupportedError, "site 'x' differ from row to row"),
    ("weights_by_row", "em", UnsupportedError, "weights of site 'z' differ from row to row"),
    ("heavy_tails", "em", UnsupportedError, "site 'x' emits from StudentT.*use method='nuts'"),
    ("heavy_tails", "exact", UnsupportedError, "site 'x' emits from StudentT"),
    ("latent_for_every_row", "em", UnsupportedError, "site 'true' is continuous and one for every"),
    ("endless", "nuts", UnsupportedError, "site 'z' takes infinitely many values"),
    ("two_plates", "em", UnsupportedError, "site 'z' must be in exactly one plate"),
    ("not_conjugate", "exact", UnsupportedError, "prior of site 'loc' is not conjugate"),
    ("no_assignment", "hard", UnsupportedError, "assigns nothing.*use method='exact', 'em' or"),
    ("no_assignment", "kmeans", UnsupportedError, "assigns nothing"),
    ("known_places", "exact", UnsupportedError, "site 'z' is hidden.*use method='gibbs'"),
    ("broken", "em", InputError, "broken could not be run on these data: RuntimeError: a slip"),
    ("takes_no_data", "em", InputError, "takes_no_data takes no data"),
]


@pytest.mark.parametrize(
    ("name", "method", "error", "sentence"), OWN, ids=[f"{row[0]}-{row[1]}" for row in OWN]
)
def test_programs_that_cannot_be_served(own, name, method, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        fit(getattr(own, name), X, method=method, seed=0)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.usefixtures("double_precision")
def test_every_method_serves_a_program_or_says_what_does(built_in):
    """Found by themselves: a new method or program is asked too."""
    model = Model(
        catalogue.program(built_in.name),
        {built_in.site: built_in.data},
        {**built_in.arguments, **built_in.interior},
        {},
    )
    problem = Problem(model, model.structure())
    served = []
    for name in catalogue.method_names():
        try:
            catalogue.method(name).check(problem)
            served.append(name)
        except UnsupportedError as refusal:
            assert "use method=" in str(refusal) or "give " in str(refusal), name
            assert "\n" not in str(refusal), name
    assert {"map", "nuts"} <= set(served)
    if all(as_family(e) for e in problem.example.emissions.values()):
        assert "em" in served


#: built-in program, data, method, options, what the sentence says
BUILT_IN = [
    ("gaussian_mixture", PLANE, "kmeans", {"clusters": 2}, "emits from FullGaussian: give covar"),
    (
        "bernoulli_mixture",
        np.eye(6, 3),
        "kmeans",
        {"clusters": 2},
        "site 'x' emits from BernoulliVector: use method='hard'$",
    ),
    (
        "gaussian_mixture",
        PLANE,
        "em",
        {"clusters": 2, "covariance": "tied", "degrees_of_freedom": 1.0},
        "degrees_of_freedom is 1: with 2 features an inverse Wishart needs more than 1",
    ),
    (
        "gaussian_mixture",
        HOLED,
        "kmeans",
        {"clusters": 2, "covariance": "spherical"},
        "site 'x' has missing cells, which have no distance: use method='em'",
    ),
    ("gaussian_mixture", PLANE, "exact", {"clusters": 2}, "site 'z' is hidden"),
    ("gaussian_mixture", PLANE, "em", {}, "the program needs clusters="),
    ("gaussian_mixture", PLANE, "em", {"clusters": 0}, "clusters is 0: give a whole number"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 2.5}, "clusters is 2.5"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 13}, "there are 12 rows and 13 clusters"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 2, "colour": 1}, "no argument 'colour'"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 2, "priors": "none"}, "priors is 'none'"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 2, "starts": 0}, r"starts \(0\)"),
    ("gaussian_mixture", PLANE, "nuts", {"clusters": 2, "draws": 0}, r"draws \(0\)"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 2, "fixed": {"mu": 1.0}}, "fixed names 'mu'"),
    ("gaussian_mixture", PLANE, "em", {"clusters": 2, "precision": "half"}, "precision is 'half'"),
    ("gaussian_mixture", PLANE, "sorcery", {"clusters": 2}, "no method 'sorcery': choose one of"),
    ("gaussian_mixtures", PLANE, "em", {"clusters": 2}, "no program 'gaussian_mixtures'"),
    (
        "gaussian_mixture",
        PLANE,
        "kmeans",
        {"clusters": 2, "covariance": "spherical", "centres": np.zeros((3, 2))},
        "centres have shape",
    ),
]


@pytest.mark.parametrize(
    ("program", "data", "method", "options", "sentence"),
    BUILT_IN,
    ids=[row[-1][:40] for row in BUILT_IN],
)
def test_arguments_that_cannot_be_served(program, data, method, options, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        fit(program, data, method=method, seed=0, **options)
    assert "\n" not in str(caught.value)
