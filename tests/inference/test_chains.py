"""Chains of discrete sites, by scan and by a loop: against enumeration of all paths by NumPyro."""

import itertools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.infer.util import log_density as numpyro_log_density
from scipy.special import logsumexp

from ppl_models import (
    best_paths,
    draw_paths,
    fit,
    generate,
    impute,
    load,
    log_density,
    loo,
    loo_pit,
    predict,
    save,
    state_probabilities,
)
from ppl_models.data import Counts, Reals
from ppl_models.errors import UnsupportedError
from ppl_models.inference.mcmc.marginal_density import ROWS_FACTOR, marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.program.chains.chain_densities import chain_factors, draw_assignments
from ppl_models.program.chains.chain_passes import best_path, pair_probabilities
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope


def two_channels(
    u: Annotated[Any, Reals] = None,
    x: Annotated[Any, Reals] = None,
    n: Annotated[Any, Counts] = None,
):
    """Three states whose moves depend on a covariate, which emit a real number and a count."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0).expand([3, 3]).to_event(2))
    loc = numpyro.sample("loc", dist.Normal(0.0, 4.0).expand([3]).to_event(1))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5).expand([3]).to_event(1))

    def move(before, now):
        u, x, n = now
        z = numpyro.sample("z", dist.Categorical(logits=slope[before] * u))
        numpyro.deterministic("mean", loc[z])
        numpyro.sample("x", dist.Normal(loc[z] + 0.1 * before, 1.0), obs=x)
        with numpyro.handlers.scale(scale=0.5):
            numpyro.sample("n", dist.Poisson(rate[z]), obs=n)
        return z, None

    scan(move, 0, (u, x, n), length=len(u))


def switching(u: Annotated[Any, Reals] = None, x: Annotated[Any, Reals] = None):
    """Two regimes of a regression, a site a step."""
    stay = numpyro.sample("stay", dist.Beta(9.0, 1.0).expand([2]).to_event(1))
    slope = numpyro.sample("slope", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
    z = 0
    for t in range(len(u)):
        p = jnp.where(z == 0, 1 - stay[0], stay[1])
        z = numpyro.sample(f"z_{t}", dist.Bernoulli(p), infer={"enumerate": "parallel"})
        with numpyro.handlers.scale(scale=0.5 + 0.2 * t):
            numpyro.sample(f"x_{t}", dist.Normal(slope[z] * u[t], 0.5), obs=x[t])


def drawn_start(x: Annotated[Any, Reals] = None):
    """The state before the first step is drawn."""
    trans = numpyro.sample("trans", dist.Dirichlet(jnp.ones((2, 2))).to_event(1))
    first = numpyro.sample("first", dist.Dirichlet(jnp.ones(2)))
    loc = numpyro.sample("loc", dist.Normal(0.0, 4.0).expand([2]).to_event(1))

    def move(before, x):
        z = numpyro.sample("z", dist.Categorical(trans[before]), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)
        return z, None

    z_0 = numpyro.sample("z_before", dist.Categorical(first), infer={"enumerate": "parallel"})
    scan(move, z_0, x)


SMALL = {
    two_channels: {
        "u": np.array([0.3, -1.0, 2.0, 0.5, 0.1]),
        "x": np.array([1.0, 2.5, np.nan, -0.5, 0.2]),
        "n": np.array([3, 0, 7, 1, 2]),
    },
    switching: {"u": np.array([1.0, -0.5, 2.0, 0.7, 1.2]), "x": np.array([0.9, 1, -4, -1, 1])},
    drawn_start: {"x": np.array([0.9, 1, -4, -1, 1])},
}
STATES = {two_channels: 3, switching: 2, drawn_start: 2}


def joint_by_numpyro(program, data, values, path, start):
    """The log joint density of a path, by bare NumPyro; a missing cell is left out by a mask."""
    held = {"z": path, "z_before": start} | {f"z_{t}": path[t] for t in range(5)}
    filled = {
        n: np.where(np.isnan(v), 0.0, v) if v.dtype.kind == "f" else v for n, v in data.items()
    }
    density, trace = numpyro_log_density(program, (), filled, {**values, **held})
    for name, value in data.items():
        if name in trace and value.dtype.kind == "f":
            cells = trace[name]["fn"].log_prob(trace[name]["value"])
            density = density - jnp.where(np.isnan(value), cells, 0.0).sum()
    return density


@pytest.fixture(scope="module", params=SMALL, ids=lambda p: p.__name__)
def chain(request):
    program = request.param
    with scope("float64"):
        data = SMALL[program]
        model = Model(program, data, {}, {})
        structure = model.structure()
        values = structure.initial(jax.random.key(3))
        paths = np.array(list(itertools.product(range(STATES[program]), repeat=5)), np.int32)
        one = jax.jit(lambda path, z: joint_by_numpyro(program, data, values, path, z))
        joint = np.array([one(path, 0) for path in paths])
        if program is drawn_start:  # the state before the first step is summed out
            joint = np.logaddexp(joint, [one(path, 1) for path in paths])
        yield model, structure, values, paths, joint


def test_states_are_summed_out(chain):
    model, structure, values, paths, joint = chain
    with scope("float64"):
        look = jax.jit(lambda at: (model.logits(at, structure), model.log_prior(at, structure)))
        logits, prior = map(np.asarray, look(values))
        total = logsumexp(logits, axis=0).sum() + prior
    assert float(total) == pytest.approx(logsumexp(joint), rel=1e-10)
    probability = np.exp(joint - logsumexp(joint))
    by_hand = [(probability[:, None] * (paths == k)).sum(0) for k in range(structure.clusters)]
    np.testing.assert_allclose(np.exp(logits - logsumexp(logits, axis=0)), by_hand, atol=1e-10)


def test_pairs_paths_and_draws(chain):
    model, structure, values, paths, joint = chain
    probability = np.exp(joint - logsumexp(joint))
    with scope("float64"):

        @jax.jit
        def look(values, some):
            (factors,) = chain_factors(model, values, structure)
            along = jax.lax.map(lambda p: model.log_joint_given(values, structure, p), some)
            return pair_probabilities(factors)[0], best_path(factors)[0][1:], along

        pairs, best, data = map(np.asarray, look(values, jnp.asarray(paths[:3])))
        keys = jax.random.split(jax.random.key(1), 4000)
        drawn = jax.jit(jax.vmap(lambda key: draw_assignments(model, key, values, structure)))(keys)
    if not structure.chain.starts:
        np.testing.assert_array_equal(best, paths[joint.argmax()])
    np.testing.assert_allclose(data, joint[:3], rtol=1e-10)
    for i, j in itertools.product(range(structure.clusters), repeat=2):
        both = (paths[:, 2] == i) & (paths[:, 3] == j)
        assert pairs[3, i, j] == pytest.approx(probability[both].sum(), abs=1e-10)
    power = structure.clusters ** np.arange(4, -1, -1)
    proportion = np.bincount(np.asarray(drawn) @ power, minlength=len(paths)) / len(keys)
    error = np.sqrt(probability * (1 - probability) / len(keys))
    assert (np.abs(proportion - probability) < 5 * error + 1e-3).all()


def test_steps_that_look_back_further_are_refused():
    def third_order(x: Annotated[Any, Reals] = None):
        loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))

        def move(before, x):
            three_ago, two_ago, one_ago = before
            z = numpyro.sample("z", dist.Bernoulli(0.2 + 0.3 * one_ago + 0.3 * three_ago))
            numpyro.sample("x", dist.Normal(loc * z, 1.0), obs=x)
            return (two_ago, one_ago, z), None

        start = jnp.zeros((), int)
        scan(move, (start, start, start), x)

    with pytest.raises(UnsupportedError, match="combinations of as many states"):
        fit(third_order, np.linspace(-1, 1, 8), method="em", seed=0)


@pytest.mark.parametrize("levels", [(2, 2), (2, 3)])
def test_numbered_sites_without_data_step_by_step_are_no_chain(levels):
    """Two switches of all rows together are summed out by their combinations."""

    def switches(x: Annotated[Any, Reals] = None):
        loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2, 3]).to_event(2))
        one = numpyro.sample("z_1", dist.Categorical(jnp.full(levels[0], 1 / levels[0])))
        two = numpyro.sample("z_2", dist.Categorical(jnp.full(levels[1], 1 / levels[1])))
        with numpyro.plate("row", len(x)):
            numpyro.sample("x", dist.Normal(loc[one, two], 1.0), obs=x)

    structure = Model(switches, {"x": np.linspace(-1, 1, 7)}, {}, {}).structure()
    assert structure.chain is None and structure.discrete == ("z_1", "z_2")
    assert structure.clusters == levels[0] * levels[1]


def test_states_that_do_not_count_from_0_are_refused():
    def dice(x: Annotated[Any, Reals] = None):
        loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))

        def move(before, x):
            z = numpyro.sample("z", dist.DiscreteUniform(1, 3))
            numpyro.sample("x", dist.Normal(loc * z, 1.0), obs=x)
            return z, None

        scan(move, jnp.zeros((), int), x)

    with pytest.raises(UnsupportedError, match="let them be Categorical"):
        fit(dice, np.linspace(-1, 1, 8), method="em", seed=0)


# ---- fits ----------------------------------------------------------------------------------------


def sticky(x: Annotated[Any, Reals] = None, *, length=None):
    """Two states that stay, which emit real numbers."""
    length = length if x is None else len(x)
    stay = numpyro.sample("stay", dist.Beta(9.0, 1.0).expand([2]).to_event(1))
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-2.0, 2.0]), 1.0).to_event(1))

    def move(before, x):
        p = jnp.where(before == 1, stay[1], 1 - stay[0])
        z = numpyro.sample("z", dist.Bernoulli(p), infer={"enumerate": "parallel"})
        numpyro.deterministic("mean", loc[z])
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)
        return z, None

    scan(move, 0, x, length=length)


@pytest.fixture(scope="module")
def series():
    random = np.random.default_rng(5)
    z = np.repeat([0, 1, 0, 1, 1, 0], 20)
    return np.where(z == 1, 2.0, -2.0) + random.normal(size=len(z)), z


@pytest.fixture(scope="module")
def by_em(series):
    return fit(sticky, series[0], method="em", seed=0, starts=6, predictive=0)


@pytest.fixture(scope="module")
def by_gibbs(series):
    options = {"draws": 300, "warmup": 200, "chains": 2, "predictive": 0}
    return fit(sticky, series[0], method="gibbs", seed=0, **options)


def test_em_ends_where_the_gradient_is_zero(by_em, series):
    with scope("float64"):
        model = Model(sticky, {"x": series[0]}, {}, {})
        structure = model.structure()
        values = {n: jnp.asarray(by_em["posterior"][n].values[0, 0]) for n in structure.names}
        point = structure.space.ravel(structure.space.unconstrain(values))

        def height(vector):
            at = structure.space.constrain(structure.space.unravel(vector))
            rows = jax.scipy.special.logsumexp(model.logits(at, structure), axis=0).sum()
            return rows + model.log_prior(at, structure)

        slope = jax.jit(jax.grad(height))(point)
    assert np.abs(slope).max() < 1e-3
    assert by_em.attrs["data_site"] == "x"


def test_states_come_back(by_em, series):
    x, z = series
    assert ((predict(by_em, site="z").values[:, 1] > 0.5) == z).mean() > 0.95
    path = best_paths(by_em)
    assert path.dims == ("step",) and (path.values == z).mean() > 0.95
    assert draw_paths(by_em, x[:40], draws=3, seed=0).shape == (3, 40)
    np.testing.assert_allclose(
        state_probabilities(by_em).values, predict(by_em, site="z").values, atol=1e-12
    )
    # a site within the chain has the value of its most probable path
    posterior = by_em["posterior"]
    np.testing.assert_allclose(
        posterior["mean"].values[0, 0], posterior["loc"].values[0, 0][path], atol=1e-12
    )


@pytest.mark.long
def test_draws_agree_with_em(by_em, by_gibbs):
    for name in ("stay", "loc"):
        draws = by_gibbs["posterior"][name]
        middle, spread = draws.mean(("chain", "draw")), draws.std(("chain", "draw"))
        assert (np.abs(by_em["posterior"][name].values[0, 0] - middle) < 1.5 * spread).all()
    mean, loc = (by_gibbs["posterior"][n].values for n in ("mean", "loc"))
    assert (np.isclose(mean[..., None], loc[:, :, None]).any(-1)).all()
    for compare in (loo, loo_pit):
        with pytest.raises(UnsupportedError, match="one exchangeable unit"):
            compare(by_gibbs)


def test_a_series_is_one_unit(by_em, series, tmp_path):
    x, _ = series
    assert log_density(by_em).sizes == {"series": 1}
    stored = by_em["log_likelihood"]["x"]
    assert stored.dims == ("chain", "draw", "series")
    assert float(stored.squeeze()) == pytest.approx(float(log_density(by_em)[0]))
    part = log_density(by_em, x[:40])
    assert float(part[0]) > float(log_density(by_em)[0])
    save(by_em, tmp_path / "fit.nc")
    again = load(tmp_path / "fit.nc")
    assert float(log_density(again, x[:40])[0]) == pytest.approx(float(part[0]))


def test_new_series_follow_their_states(by_em, series):
    x, _ = series
    made = generate(by_em, 300, seed=2)["x"].values
    assert made.shape == (300,)
    # rows that were drawn one by one would not go with their neighbours
    assert np.corrcoef(made[:-1], made[1:])[0, 1] > 0.4
    gaps = x.copy()
    gaps[[10, 30]] = np.nan
    filled = impute(by_em, gaps, draws=200, seed=0)["x"]
    loc = by_em["posterior"]["loc"].values[0, 0]
    np.testing.assert_allclose(filled[:, [10, 30]].mean("draw"), loc, atol=0.4)


def test_nuts_moves_on_the_same_density(chain):
    model, structure, values, _, joint = chain
    with scope("float64"):
        program = marginal_program(Problem(model, structure))
        density, trace = numpyro_log_density(program, (), {}, values)
    assert float(density) == pytest.approx(logsumexp(joint), rel=1e-10)
    # and no state or emission of a run along a path is part of it
    sites = {n for n, site in trace.items() if site["type"] == "sample"}
    assert sites == {*structure.names, ROWS_FACTOR}


def test_a_loop_of_sites_generates_and_is_stored(tmp_path):
    data = SMALL[switching]
    tree = fit(switching, data, method="em", seed=0, starts=1)
    drawn = generate(tree, 5, seed=1)["x"].values
    assert drawn.shape == (5,)
    assert np.unique(drawn).size == 5
    save(tree, tmp_path / "fit.nc")
