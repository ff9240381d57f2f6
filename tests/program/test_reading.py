"""What is read off a user's own program, and that methods then serve it."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pandas as pd
import pytest

from ppl_models import catalogue, fit, log_density
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model
from ppl_models.program.parameters.parameter_map import ParameterLink

_generator = np.random.default_rng(8)
_kind = _generator.integers(0, 2, 60)
LINE = np.where(_kind == 0, -2.0, 3.0) + _generator.normal(0, 0.8, 60)
PLANE = np.array([[-2.0, 0.0], [3.0, 4.0]])[_kind] + _generator.normal(0, 0.8, (60, 2))
VISITS = _generator.poisson(np.where(_kind == 0, 2.0, 9.0))

#: program -> data, sites, emissions, links (site -> emission, parameter, shared), free sites
TABLE = {
    "hierarchical": {
        "data": {"x": LINE},
        "plate": "person",
        "assignment": "kind",
        "emissions": ("x",),
        "links": {
            "shares": ("kind", "probs", False),
            "place": ("x", "loc", False),
            "width": ("x", "scale", True),
        },
        "free": {"middle", "spread"},
        "dims": {"place": ("component",), "shares": ("shares_dim_0",)},
        "deterministics": {"gap", "twice"},
    },
    "two_sites": {
        "data": {"height": LINE, "visits": VISITS},
        "plate": "visitor",
        "assignment": "z",
        "emissions": ("height", "visits"),
        "links": {
            "loc": ("height", "loc", False),
            "scale": ("height", "scale", False),
            "rate": ("visits", "rate", False),
        },
        "free": {"score"},
        "dims": {"loc": ("type",), "rate": ("type",)},
        "deterministics": set(),
    },
    "shared_scale": {
        "data": {"x": PLANE},
        "plate": "row",
        "assignment": "z",
        "emissions": ("x",),
        "links": {"loc": ("x", "loc", False), "scale": ("x", "scale", True)},
        "free": set(),
        "dims": {"loc": ("component", "loc_dim_0")},
        "deterministics": {"variance"},
    },
    "known_places": {
        "data": {"x": LINE},
        "plate": "row",
        "assignment": "z",
        "emissions": ("x",),
        "links": {"weights": ("z", "probs", False)},
        "free": set(),
        "dims": {"weights": ("weights_dim_0",)},
        "deterministics": set(),
    },
    "no_assignment": {
        "data": {"x": LINE},
        "plate": "row",
        "assignment": None,
        "emissions": ("x",),
        "links": {"loc": ("x", "loc", True)},
        "free": set(),
        "dims": {"loc": ()},
        "deterministics": set(),
    },
}


def _problem(own, name):
    model = Model(getattr(own, name), TABLE[name]["data"], {}, {})
    return Problem(model, model.structure())


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.usefixtures("double_precision")
def test_structure_and_wires(own, name):
    wanted, problem = TABLE[name], _problem(own, name)
    structure = problem.structure
    assert structure.plate == wanted["plate"]
    assert structure.rows == 60
    assert structure.assignment == wanted["assignment"]
    assert structure.clusters == (2 if wanted["assignment"] else 1)
    assert structure.emissions == wanted["emissions"]
    assert {n for n, _ in structure.deterministics} == wanted["deterministics"]
    assert set(structure.names) == set(wanted["links"]) | wanted["free"]
    dims = {site.name: site.dims for site in structure.sites}
    assert {n: dims[n] for n in wanted["dims"]} == wanted["dims"]
    links = problem.parameter_map
    assert set(links.links) == {ParameterLink(s, *w) for s, w in wanted["links"].items()}
    assert set(links.free) == wanted["free"]


#: whether clusters may change places: not where constants or priors tell them apart
EXCHANGEABLE = {
    "hierarchical": True,
    "two_sites": True,  # normal scores, softmax of them: exchanged with all else
    "shared_scale": False,
    "no_assignment": False,
    "known_places": False,
    "heavy_tails": False,
    "heavy_tailed_mixture": True,
    "zero_inflated": True,
    "derived_variance": False,
}


@pytest.mark.parametrize("name", EXCHANGEABLE)
@pytest.mark.usefixtures("double_precision")
def test_clusters_that_mean_something_keep_their_places(own, name):
    others = {"zero_inflated": VISITS, "derived_variance": PLANE}
    data = TABLE[name]["data"] if name in TABLE else {"x": others.get(name, LINE)}
    model = Model(getattr(own, name), data, {}, {})
    assert Problem(model, model.structure()).exchangeable is EXCHANGEABLE[name]


@pytest.mark.usefixtures("double_precision")
def test_built_in_clusters_may_change_places(mixture):
    data, function = {mixture.site: mixture.data}, catalogue.program(mixture.name)
    free = Model(function, data, mixture.arguments, {})
    assert Problem(free, free.structure()).exchangeable


@pytest.mark.parametrize("label", ["gaussian_mixture univariate", "categorical_mixture"])
@pytest.mark.usefixtures("double_precision")
def test_built_in_clusters_of_unequal_weights_keep_their_places(built_ins, label):
    row = built_ins[label]
    data, function = {row.site: row.data}, catalogue.program(row.name)
    held = Model(function, data, row.arguments, {"weights": np.array([0.3, 0.7])})
    assert not Problem(held, held.structure()).exchangeable
    uneven = Model(function, data, {**row.arguments, "concentration": np.array([1.0, 3.0])}, {})
    assert not Problem(uneven, uneven.structure()).exchangeable


CLIMBED = ("hierarchical", "two_sites")


@pytest.fixture(scope="module")
def modes(own):
    """EM's answers to the table, of programs with sites that have no closed form."""
    labelled = {"x": pd.Series(LINE, [f"nr {i}" for i in range(60)])}
    return {
        name: fit(
            getattr(own, name),
            labelled if name == "hierarchical" else dict(TABLE[name]["data"]),
            method="em",
            seed=0,
            predictive=2 if name == "hierarchical" else 0,
            tolerance=1e-13,
            starts=4,
        )
        for name in CLIMBED
    }


@pytest.mark.parametrize("name", CLIMBED)
@pytest.mark.usefixtures("double_precision")
def test_em_ends_where_the_log_joint_density_is_flat(own, modes, name):
    tree, problem = modes[name], _problem(own, name)
    model, structure = problem.model, problem.structure
    values = {n: np.asarray(tree["posterior"][n].values[0, 0]) for n in structure.names}

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def slope(values):
        free = structure.space.unconstrain(values)

        def height(free):
            values = structure.space.constrain(free)
            rows = jax.scipy.special.logsumexp(model.logits(values, structure), axis=0)
            return rows.sum() + model.pieces(values, structure).log_prior

        return height(free), jax.grad(height)(free)

    height, gradient = slope(values)
    np.testing.assert_allclose(tree["sample_stats/lp"].values[0, 0], height, rtol=1e-9)
    for site, g in gradient.items():
        np.testing.assert_allclose(g, 0, atol=2e-3, err_msg=site)


def test_the_axis_that_the_assignment_indexes_is_called_cluster(modes):
    posterior = modes["hierarchical"]["posterior"]
    assert posterior["place"].dims == ("chain", "draw", "cluster")
    assert posterior["shares"].dims == ("chain", "draw", "cluster")
    assert posterior["middle"].dims == ("chain", "draw")
    assert posterior["gap"].dims == ("chain", "draw")
    np.testing.assert_allclose(
        posterior["gap"].values, np.ptp(posterior["place"].values, axis=-1), rtol=1e-12
    )
    assert modes["two_sites"]["posterior"]["rate"].dims == ("chain", "draw", "cluster")


def test_em_finds_the_two_kinds(modes):
    for name, site in (("hierarchical", "x"), ("two_sites", "height")):
        tree = modes[name]
        hard = tree["responsibilities/responsibilities"].values.argmax(1)
        agreement = (hard == _kind).mean()
        assert max(agreement, 1 - agreement) > 0.95, name
        assert site in tree["observed_data"]


@pytest.mark.long
def test_nuts_serves_two_sites_and_weights_by_softmax(own, modes):
    tree = fit(
        own.two_sites,
        dict(TABLE["two_sites"]["data"]),
        method="nuts",
        seed=0,
        predictive=0,
        chains=1,
        warmup=150,
        draws=150,
        starts=4,
    )
    posterior, mode = tree["posterior"], modes["two_sites"]["posterior"]
    drawn = np.sort(posterior["loc"].values[0], -1)
    actual = np.sort(mode["loc"].values[0, 0])
    # the posterior of 60 rows is next to normal about its mode
    assert (np.abs(drawn.mean(0) - actual) < 1.5 * drawn.std(0)).all()
    assert tree["log_likelihood"].sizes["visitor"] == 60
    assert tree["sample_stats/diverging"].mean() < 0.05
    assert "labels" in tree.children  # the scores move with the clusters


def test_rows_are_called_as_the_program_calls_them(modes):
    """In all groups, with the labels that the data came with."""
    tree, labels = modes["hierarchical"], [f"nr {i}" for i in range(60)]
    for group in ("observed_data", "log_likelihood", "posterior_predictive"):
        assert tree[group]["x"].dims[-1] == "person", group
    assert tree["responsibilities/responsibilities"].dims == ("person", "cluster")
    assert tree["observed_data"]["person"].values.tolist() == labels
    assert tree["log_likelihood"]["person"].values.tolist() == labels
    density = log_density(tree, pd.Series([0.0, 1.0], ["new", "newer"]))
    assert density.dims == ("person",)
    assert density["person"].values.tolist() == ["new", "newer"]
