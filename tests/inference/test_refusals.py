"""What a method cannot do ends in one sentence that names the site and the way out."""

from __future__ import annotations

import re

import jax.numpy as jnp
import networkx as nx
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import catalogue, fit
from ppl_models.distributions.convert import as_family
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.capabilities import refusal
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

X = np.random.default_rng(0).normal(size=12)
PLANE = np.random.default_rng(1).normal(size=(12, 2))
HOLED = PLANE.copy()
HOLED[3, 1] = np.nan
STEPS = [[1, 2, 0], [0, 1]]
WORDS = ["abc", "b"]
PATHS = [nx.path_graph(2)]
CATEGORIES = {"states": 2, "emission": "categorical"}

#: own program, method, the error, what its sentence says
OWN = [
    ("nothing_emitted", "em", InputError, "has no observed site: write one"),
    ("with_a_param", "nuts", UnsupportedError, "site 'loc' is a numpyro.param: give it a prior"),
    ("heavy_tails", "exact", UnsupportedError, "site 'x' emits from StudentT"),
    (
        "latent_for_every_row",
        "hard",
        UnsupportedError,
        "site 'true' is continuous and one for every",
    ),
    ("endless", "nuts", UnsupportedError, "site 'z' has infinitely many values"),
    ("two_plates", "exact", UnsupportedError, "site 'x' are found by an index array or an inner"),
    ("not_conjugate", "exact", UnsupportedError, "prior of site 'loc' is not conjugate"),
    (
        "no_assignment",
        "hard",
        UnsupportedError,
        "assigns nothing.*'em', 'map' or 'exact'",
    ),
    ("no_assignment", "kmeans", UnsupportedError, "assigns nothing"),
    ("known_places", "exact", UnsupportedError, "site 'z' is hidden: use method='gibbs'"),
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
        said = refusal(name, problem)
        if said is None:
            served.append(name)
            continue
        assert "use method=" in said and "\n" not in said, name
        for other in re.findall(r"'(\w+)'", said.partition("use method=")[2]):
            assert refusal(other, problem) is None, (name, other)
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
        "site 'x' emits from BernoulliVector: use method='hard', 'em' or 'map'$",
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
        "site 'x' has missing cells, which have no distance: use method='hard', 'em'",
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
    (
        "gaussian_mixture",
        PLANE,
        "em",
        {"clusters": 2, "starts": 1.5},
        "starts is 1.5: give a whole",
    ),
    (
        "gaussian_mixture",
        PLANE,
        "nuts",
        {"clusters": 2, "max_tree_depth": 0},
        "max_tree_depth is 0",
    ),
    (
        "gaussian_mixture",
        PLANE,
        "em",
        {"clusters": 2, "predictive": -1},
        "predictive is -1: give a",
    ),
    ("hidden_markov", STEPS, "em", {"states": 0}, "states is 0: give a whole number from 1 up"),
    ("hidden_markov", STEPS, "em", {"states": 1.5}, "states is 1.5: give a whole number from 1 up"),
    ("hidden_markov", STEPS, "em", {"states": 2, "order": 0}, "order is 0: .* choose 1 or 2"),
    (
        "hidden_markov",
        STEPS,
        "em",
        CATEGORIES | {"levels": 3},
        r"levels is 3: give a tuple .*=\(3,",
    ),
    (
        "hidden_markov",
        STEPS,
        "em",
        CATEGORIES | {"levels": (2.5,)},
        r"levels is \(2.5,\): give a tu",
    ),
    (
        "hidden_markov",
        STEPS,
        "em",
        CATEGORIES | {"levels": (0,)},
        r"levels is \(0,\): give a tuple",
    ),
    ("hidden_markov", STEPS, "em", CATEGORIES | {"levels": (2, 2)}, r"of every feature \(1 here\)"),
    ("hidden_markov", STEPS, "em", CATEGORIES, r"levels is None: give the number of levels of eve"),
    (
        "categorical_mixture",
        [["a"], ["b"]],
        "em",
        {"clusters": 1, "levels": 2},
        "levels is 2: give a",
    ),
    (
        "hidden_token_chain",
        WORDS,
        "em",
        {"states": 0},
        "states is 0: give a whole number from 1 up",
    ),
    ("chain_mixture", WORDS, "em", {"clusters": 0}, "clusters is 0: give a whole number from 1 up"),
    (
        "markov_chain",
        WORDS,
        "em",
        {"vocabulary": 2},
        "vocabulary is 2, and tokens holds 3 distinct",
    ),
    (
        "markov_chain",
        WORDS,
        "em",
        {"vocabulary": 0},
        "vocabulary is 0: give a whole number from 1 up",
    ),
    ("ordered_chain", WORDS, "em", {"order": 0}, "order is 0: give a whole number from 1 up"),
    (
        "pitman_yor_chain",
        WORDS,
        "kneser_ney",
        {"discounts": 0},
        "discounts is 0: give a whole number",
    ),
    ("recurrent_chain", WORDS, "map", {"hidden": 0}, "hidden is 0: give a whole number from 1 up"),
    ("nade", np.eye(4, 3), "map", {"hidden": 1.5}, "hidden is 1.5: give a whole number from 1 up"),
    ("graph_chain", PATHS, "em", {"width": 3}, "width is 3, and the rows of x have width 1: leave"),
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


def test_levels_may_be_an_array():
    """As the command line makes one of --set levels=[3]."""
    options = CATEGORIES | {"method": "em", "seed": 0, "starts": 1, "predictive": 0}
    tree = fit("hidden_markov", STEPS, levels=np.array([3.0]), **options)
    assert tree["posterior"].sizes["level"] == 3


@pytest.mark.parametrize("unit", [1e-160, 1e160])
def test_values_whose_squares_leave_the_range_of_float64(unit):
    x = np.arange(20)[:, None] * [1, unit]
    with pytest.raises(InputError, match="sums of squares of that leave the range of float64") as e:
        fit("gaussian_mixture", x, method="em", seed=0, clusters=2)
    unit_said = float(str(e.value).split()[-1])  # what it tells to do serves
    fit("gaussian_mixture", x / [1, unit_said], method="em", seed=0, clusters=2)


def of_ten(counts, total):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("cluster", 2):
        success = numpyro.sample("success", dist.Beta(1, 1))
    with numpyro.plate("row", len(counts)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("counts", dist.Binomial(total, success[z]), obs=counts)


@pytest.mark.parametrize("total", [10, np.full(12, 10)], ids=["one", "by row"])
def test_a_count_above_its_total_is_named(total):
    counts = np.arange(12)
    with pytest.raises(InputError, match=r"values in IntegerInterval\(0, 10\), and row 11 is 11"):
        if np.ndim(total):
            fit(of_ten, {"counts": counts, "total": total}, method="em", seed=0)
        else:
            fit(of_ten, {"counts": counts}, method="em", seed=0, total=total)
