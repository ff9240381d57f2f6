"""Chains of several series, of order two, of several sites a step: against all paths by NumPyro."""

import itertools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
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
    partition,
    predict,
    save,
    state_probabilities,
)
from ppl_models.data import Reals, Series
from ppl_models.errors import UnsupportedError
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.program.chains.chain_densities import (
    best_states,
    draw_assignments,
    log_density_along,
    pair_probabilities,
)
from ppl_models.program.chains.chain_passes import windows
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

TRANS = dist.Dirichlet(jnp.ones((2, 2))).to_event(1)


def tracks(x: Annotated[Any, Series] = None):
    """Animals of two moods, whose tracks are of any length; a mask ends them."""
    animals, _, _ = x.shape
    lengths = (~jnp.isnan(x[..., 0])).sum(1)
    trans = numpyro.sample("trans", TRANS)
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))

    def move(before, now):
        state, t = before
        with numpyro.plate("animal", animals), handlers.mask(mask=t < lengths):
            z = numpyro.sample("z", dist.Categorical(trans[state]))
            numpyro.sample("step_length", dist.Normal(loc[z], 1.0), obs=now[:, 0])
            numpyro.sample("turn", dist.Normal(0.3 * z, 1.0), obs=now[:, 1])
        return (z, t + 1), None

    scan(move, (jnp.zeros(animals, int), 0), jnp.swapaxes(x, 0, 1))


def panel_with_starts(x: Annotated[Any, Reals] = None):
    """Series side by side by a loop in a plate of two, the state before the first step drawn."""
    trans = numpyro.sample("trans", TRANS)
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))

    def move(before, now):
        with numpyro.plate("shop", x.shape[1]):
            z = numpyro.sample("z", dist.Categorical(trans[before]))
            numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=now)
        return z, None

    with numpyro.plate("shop", x.shape[1]):
        z_0 = numpyro.sample("z_before", dist.Bernoulli(0.3))
    scan(move, z_0, x)


def second_order(x: Annotated[Any, Reals] = None):
    """A state depends on the two before."""
    trans = numpyro.sample("trans", dist.Dirichlet(jnp.ones((2, 2, 2))).to_event(2))
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))

    def move(before, x):
        two_ago, one_ago = before
        z = numpyro.sample("z", dist.Categorical(trans[two_ago, one_ago]))
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)
        return (one_ago, z), None

    zero = jnp.zeros((), int)
    scan(move, (zero, zero), x)


def factorial(x: Annotated[Any, Reals] = None):
    """Two chains side by side add up to one observed series."""
    stay = numpyro.sample("stay", dist.Beta(4.0, 2.0).expand([2]).to_event(1))
    size = numpyro.sample("size", dist.Normal(0.0, 3.0).expand([2]).to_event(1))

    def move(before, x):
        a, b = before
        a = numpyro.sample("a", dist.Bernoulli(jnp.where(a == 1, stay[0], 0.3)))
        b = numpyro.sample("b", dist.Categorical(jnp.array([0.5, 0.3, 0.2]) ** (1 + b * stay[1])))
        numpyro.sample("x", dist.Normal(size[0] * a + size[1] * b, 1.0), obs=x)
        return (a, b), None

    zero = jnp.zeros((), int)
    scan(move, (zero, zero), x)


def looped(x: Annotated[Any, Reals] = None):
    """Several series by a loop."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    z = jnp.zeros(x.shape[1], int)
    for t in range(x.shape[0]):
        with numpyro.plate("shop", x.shape[1]):
            z = numpyro.sample(f"z_{t}", dist.Bernoulli(0.2 + 0.5 * z))
            numpyro.sample(f"x_{t}", dist.Normal(loc[z], 1.0), obs=x[t])


RAGGED = [
    np.array([[0.5, 1.0], [2.0, 0.1], [-1.0, 0.3]]),
    np.array([[1.5, -1.0]]),
    np.array([[2.5, 0.1], [0.3, np.nan], [1.0, 1.0]]),
]
GRID = np.array([[0.4, 2.0], [1.1, np.nan], [-0.7, 0.3], [2.0, 1.2]])
SINGLE = np.array([0.4, -1.2, np.nan, 2.2, 0.6, 1.0])
CASES = {
    tracks: ({"x": RAGGED}, [("z", 2)], (3, 3)),
    panel_with_starts: ({"x": GRID}, [("z", 2)], (4, 2)),
    second_order: ({"x": SINGLE}, [("z", 2)], (6, 1)),
    factorial: ({"x": SINGLE[:4]}, [("a", 2), ("b", 3)], (4, 1)),
    looped: ({"x": GRID}, [("z", 2)], (4, 2)),
}


def filled(data):
    return {n: jnp.asarray(np.where(np.isnan(v), 0.0, v)) for n, v in data.items()}


def joint_of(program, model, values, states, held):
    """Log joint density with the states held, by bare NumPyro, missing cells left out."""
    value = model.data["x"]
    if program is tracks:  # whose own mask needs the gaps; cells that are missing are set to NaN

        def run(x):
            return program(x)

        trace = handlers.trace(
            handlers.substitute(handlers.seed(run, 0), data={**values, **held})
        ).get_trace(value)
        total = 0.0
        for site in trace.values():
            if site["type"] == "sample":
                density = site["fn"].log_prob(site["value"])
                total = total + jnp.where(jnp.isnan(density), 0.0, density).sum()
        return total
    density, trace = numpyro_log_density(program, (), filled({"x": value}), {**values, **held})
    gaps = np.isnan(np.asarray(value))
    for name, site in trace.items():
        if site["type"] == "sample" and site["is_observed"]:
            cells = site["fn"].log_prob(site["value"])
            here = gaps if name == "x" else gaps[int(name[2:])]
            density = density - jnp.where(here, cells, 0.0).sum()
    return density


@pytest.fixture(scope="module", params=CASES, ids=lambda p: p.__name__)
def chain(request):
    program = request.param
    data, sites, (steps, series) = CASES[program]
    with scope("float64"):
        observed = read_data(program, data["x"])
        model, structure = read_program(program, observed, {}, {}, "float64")
        values = structure.initial(jax.random.key(3))
        states = int(np.prod([size for _, size in sites]))
        paths = np.array(list(itertools.product(range(states), repeat=steps * series)), np.int32)
        before = [None] if program is not panel_with_starts else [(0, 0), (0, 1), (1, 0), (1, 1)]

        def one(path, start):
            own = path.reshape(series, steps).T
            own = own[:, 0] if series == 1 and program is not tracks else own
            held, left = {}, own.astype(int)
            for name, size in reversed(sites):
                held[name], left = left % size, left // size
            if program is looped:
                held = {f"z_{t}": held["z"][t] for t in range(steps)}
            if start is not None:
                held["z_before"] = jnp.array(start)
            return joint_of(program, model, values, states, held)

        joint = [
            np.asarray(jax.jit(jax.vmap(lambda path, s=s: one(path, s)))(paths)) for s in before
        ]
        yield program, model, structure, values, paths, logsumexp(joint, axis=0)


def hidden_constant(program):
    """A mask leaves states to be summed over that are not there: log 2 for each."""
    return 2 * np.log(2) if program is tracks else 0.0


def test_states_are_summed_out(chain):
    program, model, structure, values, paths, joint = chain
    with scope("float64"):
        marginal = marginal_program(Problem(model, structure))

        @jax.jit
        def look(values):
            moved, _ = numpyro_log_density(marginal, (), {}, values)
            return model.logits(values, structure), model.log_prior(values, structure), moved

        logits, prior, moved = map(np.asarray, look(values))
        total = logsumexp(logits, axis=0).sum() + prior
    exact = logsumexp(joint) - hidden_constant(program)
    assert float(total) == pytest.approx(exact, rel=1e-10)
    assert float(moved) == pytest.approx(exact, rel=1e-10)
    probability = np.exp(joint - logsumexp(joint))
    by_hand = [(probability[:, None] * (paths == k)).sum(0) for k in range(structure.clusters)]
    np.testing.assert_allclose(np.exp(logits - logsumexp(logits, axis=0)), by_hand, atol=1e-10)


def test_pairs_paths_and_draws(chain):
    program, model, structure, values, paths, joint = chain
    probability = np.exp(joint - logsumexp(joint))
    actual = structure.chain
    with scope("float64"):

        @jax.jit
        def look(values, some):
            along = jax.lax.map(lambda p: log_density_along(model, values, structure, p), some)
            return (
                pair_probabilities(model, values, structure)[0],
                best_states(model, values, structure),
                along + model.log_prior(values, structure),
            )

        pairs, best, along = map(np.asarray, look(values, jnp.asarray(paths[5:8])))
        keys = jax.random.split(jax.random.key(1), 4000)
        drawn = jax.jit(jax.vmap(lambda key: draw_assignments(model, key, values, structure)))(keys)
    np.testing.assert_allclose(along, joint[5:8] - hidden_constant(program), rtol=1e-10)
    if not actual.starts:
        assert joint[(paths == best).all(1).argmax()] == pytest.approx(joint.max())
    own = paths.reshape(len(paths), actual.series, actual.steps)
    step = actual.steps - 1
    before = np.asarray(
        jax.vmap(lambda p: windows(p, actual.steps, actual.states, actual.order))(
            jnp.asarray(own[:, -1])
        )
    )[:, step]
    for b, k in itertools.product(range(pairs.shape[2]), range(actual.states)):
        both = (before == b) & (own[:, -1, step] == k)
        assert pairs[-1, step, b, k] == pytest.approx(probability[both].sum(), abs=1e-10)
    power = structure.clusters ** np.arange(paths.shape[1] - 1, -1, -1)
    proportion = np.bincount(np.asarray(drawn) @ power, minlength=len(paths)) / len(keys)
    error = np.sqrt(probability * (1 - probability) / len(keys))
    assert (np.abs(proportion - probability) < 5 * error + 1e-3).all()


def test_what_was_found(chain):
    program, _, structure, _, _, _ = chain
    actual = structure.chain
    _, sites, (steps, series) = CASES[program]
    assert (actual.steps, actual.series) == (steps, series)
    assert actual.order == (2 if program is second_order else 1)
    assert structure.unit_count == series and structure.discrete == tuple(n for n, _ in sites)


def test_series_that_see_each_other_are_refused():
    def crowd(x: Annotated[Any, Reals] = None):
        loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))

        def move(before, now):
            with numpyro.plate("shop", x.shape[1]):
                z = numpyro.sample("z", dist.Bernoulli(0.2 + 0.6 * before.mean()))
                numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=now)
            return z, None

        scan(move, jnp.zeros(x.shape[1], int), x)

    with pytest.raises(UnsupportedError, match="before of its own series"):
        fit(crowd, np.random.default_rng(0).normal(size=(6, 3)), method="em", seed=0)


# ---- fits ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def herd():
    random = np.random.default_rng(4)
    lengths = [14, 20, 9, 20, 17, 12, 20, 11]
    paths, series = [], []
    for length in lengths:
        z = np.cumsum(random.random(length) < 0.15) % 2
        paths.append(z)
        noise = random.normal(size=(length, 2))
        series.append(np.stack([np.where(z == 1, 4.0, 0.0), 0.3 * z], 1) + noise)
    return series, paths


@pytest.fixture(scope="module")
def by_em(herd):
    return fit(tracks, herd[0], method="em", seed=0, starts=4, predictive=2)


# (densities, states and paths of several series: the tests above; what follows a fit of chains:
# inference/test_chains.py)
@pytest.mark.long
def test_each_series_is_a_unit(by_em, herd, tmp_path):
    series, paths = herd
    states = predict(by_em)
    assert states.dims == ("animal", "step", "cluster") and states.shape == (8, 20, 2)
    np.testing.assert_allclose(states, state_probabilities(by_em))
    best = best_paths(by_em).values
    for n, path in enumerate(paths):
        assert np.isfinite(states[n, : len(path)]).all() and np.isnan(states[n, len(path) :]).all()
        assert (best[n, len(path) :] == -1).all()
        assert (best[n, : len(path)] == path).mean() > 0.85
    assert draw_paths(by_em, draws=3, seed=0).shape == (3, 8, 20)
    density = log_density(by_em)
    assert density.dims == ("animal",)
    assert by_em["log_likelihood"].sizes["animal"] == 8
    # (two of one length, which share what is compiled)
    alone = [float(log_density(by_em, [series[n]])[0]) for n in (1, 3)]
    np.testing.assert_allclose(alone, density[[1, 3]])
    save(by_em, tmp_path / "fit.nc")
    np.testing.assert_allclose(log_density(load(tmp_path / "fit.nc")), density)


# (draws of paths: the tests above; what follows a fit of chains: inference/test_chains.py)
@pytest.mark.long
def test_series_are_drawn_and_filled(by_em, herd):
    made = generate(by_em, 30, seed=0)["step_length"]
    assert made.sizes == {"step": 20, "animal": 30}
    loc = by_em["posterior"]["loc"].values[0, 0]
    high, low = loc.argmax(), loc.argmin()
    # a series stays where it is: neighbours go together
    first, second = (made.values[:8].reshape(-1), made.values[1:9].reshape(-1))
    assert np.corrcoef(first, second)[0, 1] > 0.3
    gaps = [each.copy() for each in herd[0]]
    gaps[1][6, 1] = np.nan
    filled_in = impute(by_em, gaps, draws=50, seed=0)
    assert filled_in["turn"].sizes == {"draw": 50, "step": 20, "animal": 8}
    assert np.isfinite(filled_in["turn"].values[:, 6, 1]).all()
    assert high != low


def test_hard_assignment_follows_paths(herd):
    tree = fit(tracks, herd[0], method="hard", seed=0, starts=4, predictive=0)
    chosen = predict(tree)
    proportions = chosen.values[~np.isnan(chosen.values)]
    assert set(np.unique(proportions)) <= {0.0, 1.0}
    best = best_paths(tree).values
    actual = chosen.fillna(0).argmax("cluster").values
    np.testing.assert_array_equal(actual[best >= 0], best[best >= 0])


def test_a_site_of_every_series_is_told_of():
    """Its density is that given the site, which series that were not fitted do not have."""

    def shops(x: Annotated[Any, Reals] = None):
        stay = numpyro.sample("stay", dist.Beta(8.0, 2.0))
        with numpyro.plate("shop", x.shape[1]):
            own = numpyro.sample("own", dist.Normal(0.0, 1.0))

        def move(before, now):
            with numpyro.plate("shop", x.shape[1]):
                p = jnp.where(before == 1, stay, 1 - stay)
                z = numpyro.sample("z", dist.Bernoulli(p))
                numpyro.sample("x", dist.Normal(own + 4.0 * z, 1.0), obs=now)
            return z, None

        scan(move, jnp.zeros(x.shape[1], int), x)

    x = np.random.default_rng(0).normal(size=(10, 3)) + 4 * (np.arange(10)[:, None] > 5)
    tree = fit(shops, x, method="hard", seed=0, starts=1, predictive=0)
    assert "every shop has 'own' of its own" in tree.attrs["notes"]
    assert log_density(tree, x[:6]).sizes == {"shop": 3}
    with pytest.raises(UnsupportedError, match="'own' is one for every shop"):
        log_density(tree, x[:, :2])


# (draws of paths are as probable as all paths: test_pairs_paths_and_draws; Gibbs sampling of rows
# without statistics: inference/test_rowwise.py)
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_draws(herd, by_em):
    tree = fit(
        tracks, herd[0], method="gibbs", seed=0, chains=2, warmup=100, draws=200, predictive=0
    )
    loc = tree["posterior"]["loc"]
    middle, spread = loc.mean(("chain", "draw")), loc.std(("chain", "draw"))
    assert (np.abs(np.sort(by_em["posterior"]["loc"][0, 0]) - np.sort(middle)) < 3 * spread).all()
    left_out = loo(tree)
    assert left_out.n_data_points == 8
    assert partition(tree)["partition"].labels.size == 8 * 20
