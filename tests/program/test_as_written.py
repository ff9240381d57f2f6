"""Programs in the styles in which NumPyro programs are written."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam

from ppl_models import catalogue, fit, load, log_density, save
from ppl_models.errors import InputError
from ppl_models.inference.em.driver import cluster_order
from ppl_models.inference.problem import Problem
from ppl_models.program.arguments.dicts import without_dict
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

PARALLEL = {"enumerate": "parallel"}


def answers(person, item, n_items, y=None, n_persons=None):
    """Long format: index arrays without annotations, sizes among the data, a site called obs."""
    with numpyro.plate("items", n_items):
        easy = numpyro.sample("easy", dist.Normal(0, 1))
    with numpyro.plate("persons", n_persons):
        able = numpyro.sample("able", dist.Normal(0, 1))
    with numpyro.plate("i", len(person)):
        numpyro.sample("obs", dist.Bernoulli(logits=able[person] + easy[item]), obs=y)


@handlers.reparam(config={"effect": LocScaleReparam(0)})
def decorated(y, asked):
    """A handler as a decorator, and a mask among the data."""
    effect = numpyro.sample("effect", dist.Normal(0, 2))
    with numpyro.plate("row", y.shape[0]), handlers.mask(mask=asked):
        numpyro.sample("y", dist.Normal(effect, 1), obs=y)


def two_named_alike(y, x):
    """The name of the data is taken by another site."""
    latent = numpyro.sample("y", dist.Normal(0, 1))
    with numpyro.plate("row", len(x)):
        numpyro.sample("obs", dist.Normal(latent + x, 1), obs=y)


def of_a_dict(data, K):
    """All data in one dict, with a size, as Stan has it."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(K)))
    with numpyro.plate("K", K):
        a = numpyro.sample("a", dist.Normal(0, 5))
    with numpyro.plate("n", data["N"]):
        z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
        numpyro.sample("likelihood", dist.Normal(a[z] + data["x"], 1), obs=data["y"])


def by_group(y, K=2):
    """Weights by group, groups in rows."""
    with numpyro.plate("K", K):
        mu = numpyro.sample("mu", dist.Normal(0, 4))
    with numpyro.plate("group", y.shape[0], dim=-2):
        w = numpyro.sample("w", dist.Dirichlet(jnp.ones(K)))
        with numpyro.plate("obs", y.shape[1], dim=-1):
            z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
            numpyro.sample("y", dist.Normal(mu[z], 1), obs=y)


def of_states(y):
    """A chain by scan, whose sites share the dict ``PARALLEL`` with those of other programs."""

    def step(state, seen):
        state = numpyro.sample("s", dist.Categorical(jnp.eye(2)[state] + 0.5), infer=PARALLEL)
        numpyro.sample("y", dist.Normal(jnp.array([-1.0, 1.0])[state], 1), obs=seen)
        return state, None

    scan(step, 0, y)


def read(program, data, **arguments):
    with scope("float64"):
        function = catalogue.program(program)
        observed = read_data(function, data, arguments=arguments)
        return read_program(function, observed, arguments, {}, "float64")


LONG = {"person": [0, 0, 1, 1, 2], "item": [0, 1, 0, 1, 1], "y": [1, 0, 1, 1, 0]}


def test_whole_numbers_index_and_sites_bear_the_names_of_their_data():
    model, structure = read(answers, LONG, n_items=2, n_persons=3)
    assert structure.emissions == ("y",)
    assert {n: np.asarray(v).dtype.kind for n, v in model.data.items()} == dict.fromkeys(LONG, "i")
    again, _ = read(answers, LONG, n_items=2, n_persons=3)
    assert again.function is model.function  # what was compiled for it serves it again


def test_data_of_arguments_are_refused():
    with pytest.raises(InputError, match="'person' is a data parameter of the program"):
        fit(answers, {"item": [0, 1]}, person=[0, 1], n_items=2, n_persons=3, seed=0)
    with pytest.raises(InputError, match="'n_items' is given both as data and as an argument"):
        fit(answers, {**LONG, "n_items": [2] * 5}, n_items=2, n_persons=3, seed=0)


def test_a_site_keeps_a_name_that_another_has():
    with pytest.raises(InputError, match="call site and parameter by one name"):
        read(two_named_alike, {"y": [0.5, 1.0], "x": [0.0, 2.0]})


def test_handlers_may_decorate():
    _, structure = read(decorated, {"y": [0.5, 1.0, 2.0], "asked": [True, False, True]})
    assert structure.emissions == ("y",)
    assert catalogue.program(catalogue.program_name(decorated)) is decorated


def test_dicts_of_data(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=60)
    y = x + np.repeat([-3.0, 3.0], 30) + generator.normal(size=60)
    data = {"x": x, "y": y, "N": 60}
    tree = fit(of_a_dict, data, method="em", seed=0, K=2, starts=2, predictive=0)
    assert np.sort(tree["posterior"]["a"].values.ravel()) == pytest.approx([-3, 3], abs=0.6)
    own = log_density(tree).values
    path = save(tree, tmp_path / "fit.nc")
    catalogue._registered.clear()  # as in another process
    np.testing.assert_allclose(log_density(load(path)), own)
    flat, nested = (without_dict(of_a_dict, d, {"K": 2}) for d in (data, {"data": data}))
    assert nested[0] is flat[0]


def test_a_shared_dict_of_infer_makes_no_chain_of_other_sites():
    assert read(of_states, {"y": [0.5, 1.0, -1.0]})[1].chain is not None
    assert read(by_group, {"y": np.arange(12.0).reshape(3, 4)})[1].chain is None


def test_clusters_with_weights_by_group_are_in_one_order():
    y = np.random.default_rng(0).normal(size=(3, 4))
    model, structure = read(by_group, {"y": y})
    with scope("float64"):
        ends = {"mu": np.array([0.0, 1.0]), "w": np.full((3, 1, 2), [0.2, 0.8])}
        assert cluster_order(Problem(model, structure), ends).tolist() == [1, 0]
