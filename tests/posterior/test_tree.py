"""The one result: names of dims, coordinates, groups and attributes, and its likelihoods."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from ppl_models import fit, log_density, memory
from ppl_models.distributions.graphs.recurrent_graph_chain import weight_shapes
from ppl_models.posterior.result.restore import restored
from ppl_models.posterior.result.schema import emission_parameters, facts_of
from ppl_models.posterior.result.validation import validate
from ppl_models.program.parameters.values import named_parameters

SAMPLE = ("chain", "draw")
#: dims of the posterior's variables after chain and draw
DIMS = {
    "gaussian_mixture full": {
        "weights": ("cluster",),
        "loc": ("cluster", "feature"),
        "covariance": ("cluster", "feature", "feature_other"),
        "scale_diagonal": ("feature",),
    },
    "gaussian_mixture tied": {
        "weights": ("cluster",),
        "loc": ("cluster", "feature"),
        "covariance": ("feature", "feature_other"),
        "scale_diagonal": ("feature",),
    },
    "gaussian_mixture diagonal": {
        "weights": ("cluster",),
        "loc": ("cluster", "feature"),
        "scale": ("cluster", "feature"),
        "scale_rate": ("feature",),
    },
    "gaussian_mixture spherical": {
        "weights": ("cluster",),
        "loc": ("cluster", "feature"),
        "scale": ("cluster",),
        "scale_rate": (),
    },
    "gaussian_mixture univariate": {
        "weights": ("cluster",),
        "loc": ("cluster",),
        "scale": ("cluster",),
        "scale_rate": (),
    },
    "bernoulli_mixture": {"weights": ("cluster",), "probs": ("cluster", "feature")},
    "categorical_mixture": {"weights": ("cluster",), "probs": ("cluster", "level")},
    "poisson_mixture": {"weights": ("cluster",), "rate": ("cluster", "feature")},
    "poisson_mixture univariate": {"weights": ("cluster",), "rate": ("cluster",)},
    "hidden_markov": {
        "initial": ("state",),
        "transition": ("state", "next_state"),
        "loc": ("state", "feature"),
        "scale": ("state", "feature"),
        "scale_rate": ("feature",),
    },
    "hidden_markov stationary": {
        "initial": ("state",),
        "transition": ("state", "next_state"),
        "rate": ("state", "feature"),
    },
    "hidden_markov second order": {
        "initial": ("state",),
        "initial_transition": ("state", "next_state"),
        "transition": ("previous_state", "state", "next_state"),
        "rate": ("state", "feature"),
    },
    "markov_chain": {"initial": ("token",), "transition": ("token", "next_token")},
    "ordered_chain": {"initial": ("token",), "transition": ("context", "next_token")},
    "chain_mixture": {
        "weights": ("cluster",),
        "initial": ("cluster", "token"),
        "transition": ("cluster", "token", "next_token"),
    },
}
DIMS["hidden_token_chain"] = {
    "initial": ("state",),
    "transition": ("state", "next_state"),
    "probs": ("state", "token"),
}
DIMS["graph_chain"] = {"edge": ("offset",), "end": ("size",)}
DIMS["logistic_graph_chain"] = {"edge": ("choice", "statistic"), "end": ("end_statistic",)}
DIMS["recurrent_graph_chain"] = {n: tuple(w.dims) for n, w in weight_shapes(2, 2).items()}
_recurrent = {
    "embedding": ("token", "embedding_axis"),
    "start": ("unit",),
    "input": ("embedding_axis", "gate", "unit"),
    "recurrent": ("from_unit", "gate", "unit"),
    "bias": ("gate", "unit"),
    "output": ("unit", "next_token"),
    "output_bias": ("next_token",),
}
DIMS |= {f"recurrent_chain {cell}": _recurrent for cell in ("gru", "lstm")}
DIMS["pixel_recurrent"] = {**_recurrent, "output": ("unit", "token"), "output_bias": ("token",)}
DIMS["pixel_logistic"] = {"coupling": ("pair",), "bias": ("feature",)}
DIMS["nade"] = {
    "inward": ("feature", "unit"),
    "bias": ("unit",),
    "outward": ("feature", "unit"),
    "outward_bias": ("feature",),
}
_of_letter: dict[str, tuple[str, ...]] = {"E": (), "V": ("cluster",)}
for _volume, _shape, _orientation in (
    "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "EII", "EEI"
):  # fmt: skip
    _dims = {"weights": ("cluster",), "loc": ("cluster", "feature"), "scale_rate": ()}
    _dims["scale"] = _of_letter[_volume]
    if _orientation != "I":
        _dims["orientation"] = (*_of_letter[_orientation], "feature", "axis")
    if _shape != "I":
        _dims["axis_shape"] = (*_of_letter[_shape], "feature" if _orientation == "I" else "axis")
    DIMS[f"gaussian_mixture {_volume}{_shape}{_orientation}"] = _dims
DIMS["gaussian_mixture EEI"] = {  # one scale a feature is volume and shape
    "weights": ("cluster",),
    "loc": ("cluster", "feature"),
    "scale": ("feature",),
    "scale_rate": ("feature",),
}
GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "observed_data",
    "posterior_predictive",
    "prior",
    "prior_predictive",
}


def test_dims_are_named_in_every_group(built_in, trees):
    tree, wanted = trees(built_in), DIMS[built_in.label]
    sampled = {n: dims for n, dims in wanted.items() if n in built_in.sites}
    for group, names in (("posterior", wanted), ("prior", sampled)):
        dataset = tree[group].dataset
        assert {n: v.dims for n, v in dataset.data_vars.items()} == {
            n: (*SAMPLE, *dims) for n, dims in names.items()
        }
    if built_in.point == "em":
        path = {n: v.dims for n, v in tree["path"].data_vars.items()}
        assert path == {"objective": ("iteration",)} | {
            n: ("iteration", *dims) for n, dims in sampled.items()
        }
    data_dims = tree["observed_data"][built_in.site].dims
    for group in ("posterior_predictive", "prior_predictive"):
        fitted = tree[group][built_in.site]
        assert fitted.dims == (*SAMPLE, *data_dims)
        assert fitted.sizes["draw"] == 6
        observed = tree["observed_data"][built_in.site]
        assert fitted.dtype.kind in (built_in.data.dtype.kind, observed.dtype.kind)
    plate = data_dims[0]
    assert tree["log_likelihood"][built_in.site].dims == (*SAMPLE, plate)
    if "clusters" in built_in.arguments:
        table = tree["responsibilities/responsibilities"]
        assert table.dims == (plate, "cluster")
        np.testing.assert_allclose(table.values.sum(1), 1, rtol=1e-12)


def test_every_axis_has_a_coordinate(built_in, trees):
    for group in GROUPS:
        dataset = trees(built_in)[group].dataset
        assert set(dataset.dims) <= set(dataset.coords), group


def test_groups_are_those_that_arviz_knows_and_ours(built_in, trees):
    tree = trees(built_in)
    mixture = "clusters" in built_in.arguments
    ours = {"starts", "path" if built_in.point == "em" else "log_prior"}
    ours |= {"responsibilities"} if mixture else set()
    parameters = facts_of(tree).emission.parameters.values()
    ours |= {"emission_parameters"} if any(p.site is None for p in parameters) else set()
    assert set(tree.children) == GROUPS | ours


def test_coordinates_are_the_names_that_the_data_came_with(built_in, trees, named):
    tree = trees(built_in)
    posterior = tree["posterior"]
    if built_in.site == "tokens":
        assert posterior["token"].values.tolist() == ["a", "b", "c"]
        if "next_token" in posterior.dims:
            assert posterior["next_token"].values.tolist() == ["a", "b", "c", "<end>"]
        np.testing.assert_array_equal(tree["observed_data/tokens"].values, built_in.data)
        return
    if "states" in built_in.arguments:
        np.testing.assert_array_equal(tree["observed_data/x"]["sequence"].values, range(4))
        np.testing.assert_array_equal(tree["observed_data/x"]["position"].values, range(5))
        np.testing.assert_array_equal(tree["observed_data/x"].values, built_in.data)
        return
    if built_in.plate == "graph":
        np.testing.assert_array_equal(tree["observed_data/x"].values, built_in.data)
        return
    if "clusters" in built_in.arguments:
        np.testing.assert_array_equal(posterior["cluster"].values, [0, 1])
    values = named(built_in)
    np.testing.assert_array_equal(tree["observed_data/x"]["row"].values, values.index)
    np.testing.assert_array_equal(tree["observed_data/x"].values, built_in.data)
    features = posterior.dims if built_in.name != "categorical_mixture" else {}
    if "feature" in features:
        assert posterior["feature"].values.tolist() == list(values.columns)
    if "level" in posterior.dims:
        assert posterior["level"].values.tolist() == [
            "width=0",
            "width=1",
            "height=0",
            "height=1",
            "height=2",
        ]


def test_facts_of_built_in_programs(built_in, trees):
    tree = trees(built_in)
    facts = validate(tree)
    assert facts.emission.site == built_in.site
    for emission in facts.emissions:
        parameters = emission_parameters(tree, emission.site)
        assert set(parameters) == set(emission.parameters)
        for name, known in emission.parameters.items():
            assert parameters[name].dims == ("chain", "draw", *known.dims), name


def test_parameters_are_those_of_the_program(built_in, trees):
    """The values are the emission's own at the draws, whatever site they come from."""
    tree = trees(built_in)
    with restored(tree) as fitted:
        pieces = fitted.model.pieces({n: v[0] for n, v in fitted.values.items()}, fitted.structure)
        emission = pieces.emissions[built_in.site]
        expected = named_parameters(emission, fitted.structure.clusters)
    parameters = emission_parameters(tree)
    assert set(parameters) == set(expected)
    for name, array in parameters.items():
        value = np.asarray(expected[str(name)].value)
        own = np.broadcast_to(array.isel(chain=0, draw=0).values, value.shape)
        np.testing.assert_allclose(own, value, rtol=1e-5)


def test_a_point_is_one_chain_of_one_draw(built_in, trees):
    tree = trees(built_in)
    assert tree.attrs["kind"] == "point"
    assert dict(tree["sample_stats"].sizes) == {"chain": 1, "draw": 1}
    # the mode's height: likelihood of all rows and prior of the globals
    total = float(tree["log_likelihood"][built_in.site].sum())
    assert np.isfinite(tree["sample_stats/lp"].values.item() - total)


def test_attributes_say_how_it_was_made(built_in, trees):
    attributes = trees(built_in).attrs
    assert attributes["program"] == built_in.name
    assert attributes["method"] == built_in.point
    assert attributes["seed"] == 0
    assert attributes["precision"] == "float64"
    assert attributes["data_site"] == built_in.site
    assert attributes["wall_time_seconds"] > 0
    arguments = json.loads(attributes["arguments"])
    for name, value in built_in.interior.items():
        assert arguments[name] == value
    assert json.loads(attributes["configuration"])["starts"] == 4
    assert {"numpyro", "jax", "arviz"} <= set(json.loads(attributes["versions"]))
    assert isinstance(json.loads(attributes["notes"])["notes"], list)


def test_observed_data_keep_their_gaps(built_ins, named):
    row = built_ins["gaussian_mixture diagonal"]
    x = row.data.copy()
    x[2, 1] = np.nan
    tree = fit(row.name, named(row, x), method="em", seed=0, predictive=0, starts=4, **row.options)
    np.testing.assert_array_equal(np.isnan(tree["observed_data/x"].values), np.isnan(x))
    assert set(tree.children) == GROUPS - {"posterior_predictive", "prior", "prior_predictive"} | {
        "starts",
        "path",
        "responsibilities",
    }


@pytest.mark.parametrize("outside", [False, True])
def test_precision_is_of_the_call_and_nothing_is_left_switched(built_ins, outside, trees):
    row = built_ins["gaussian_mixture full"]
    with jax.enable_x64(outside):
        single = fit(
            row.name,
            row.data,
            method="em",
            seed=0,
            precision="float32",
            predictive=2,
            starts=4,
            **row.options,
        )
        assert jax.config.jax_enable_x64 is outside
        density = log_density(single)
        assert jax.config.jax_enable_x64 is outside
    for group in ("posterior", "prior", "posterior_predictive", "path"):
        for name, variable in single[group].data_vars.items():
            if name != "objective":
                assert variable.dtype == np.float32, (group, name)
    double = trees(row)
    assert double["posterior/loc"].dtype == np.float64
    # (clusters of equally many rows are in the order of their weights' rounding errors)
    actual, expected = (np.sort(t["posterior/loc"].values, axis=2) for t in (single, double))
    np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(density.values, log_density(double).values, atol=1e-2)


def test_predicted_sequences_are_as_long_as_the_observed_ones(monkeypatch):
    """All at once, or in parts by length where they differ much: nothing follows their ends."""
    series = [[1.0, 2.0, 1.5, 7.0, 8.0, 7.5, 6.9], [2.0, 1.0], [7.0, np.nan, 8.0]]
    lengths = [len(s) for s in series]

    def predicted() -> dict:
        tree = fit(
            "hidden_markov", series, method="em", seed=0, states=2, starts=1, iterations=5,
            predictive=40, progress=False,
        )  # fmt: skip
        groups = ("posterior_predictive", "prior_predictive")
        return {g: tree[g]["x"].values[0, ..., 0] for g in groups}

    for waste in (memory.PADDING_BYTES, 0):
        monkeypatch.setattr(memory, "PADDING_BYTES", waste)
        actual = predicted()
        for values in actual.values():
            assert (np.isfinite(values).sum(-1) == lengths).all()
            assert np.isfinite(values[:, 1, :2]).all()
        # a step of a sequence comes from one of two clusters of numbers, wherever it is drawn
        drawn = actual["posterior_predictive"]
        assert abs(np.nanmean(drawn) - 4.5) < 2
