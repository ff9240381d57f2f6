"""Hidden Markov chains: NumPyro's own enumeration, brute force over paths, and worlds of textbooks.

Every emission is one row of a table: its parameters by state, NumPyro's own distribution of a step,
and SciPy's density of the observed cells of a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.handlers import mask
from scipy import stats

from ppl_models import distributions as families
from ppl_models.data import earthquakes
from ppl_models.distributions import HiddenMarkov
from ppl_models.errors import UnsupportedError

STATES, FEATURES, STEPS = 2, 2, 4
LENGTHS = np.array([4, 2, 3, 1, 4])
LEVELS = (2, 3)
DRAWS = 20_000
_generator = np.random.default_rng(3)
INITIAL = _generator.dirichlet(np.ones(STATES))
TRANSITION = _generator.dirichlet(np.ones(STATES), STATES)
ENDING = _generator.dirichlet(np.ones(STATES + 1), STATES)
LOC = _generator.normal(0, 2, (STATES, FEATURES))
SCALE = _generator.uniform(0.5, 2, (STATES, FEATURES))
_root = _generator.normal(size=(STATES, FEATURES, FEATURES))
COVARIANCE = _root @ _root.swapaxes(1, 2) + 0.5 * np.eye(FEATURES)
PROBS = _generator.uniform(0.1, 0.9, (STATES, FEATURES))
SHARES = np.hstack([_generator.dirichlet(np.ones(k), STATES) for k in LEVELS])
RATE = _generator.uniform(0.5, 6, (STATES, FEATURES))
SHAPE = (len(LENGTHS), STEPS, FEATURES)
REAL = _generator.normal(0, 2, SHAPE)
BITS = _generator.integers(0, 2, SHAPE).astype(float)
CODES = np.stack([_generator.integers(0, k, SHAPE[:2]) for k in LEVELS], -1).astype(float)
COUNTS = _generator.poisson(3, SHAPE).astype(float)

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Emission:
    """One row of the table.

    Args:
        name: of the row.
        parameters: ``(state, ...)``, tied ones without the axis.
        family: parameters -> our distribution of a step, the state its last batch axis.
        standard: parameters and states -> NumPyro's distribution of a step.
        log_density: parameters, state and a step with NaN for what is missing -> log-density.
        data: ``(sequence, position, feature)``.
    """

    name: str
    parameters: Parameters
    family: Callable[[Parameters], Any]
    standard: Callable[[Parameters, Any], Any]
    log_density: Callable[[Parameters, int, np.ndarray], float]
    data: np.ndarray


def _gaussian(parameters, state, step):
    covariance = parameters.get("covariance")
    if covariance is None:
        covariance = np.eye(FEATURES) * parameters["scale"][state] ** 2
    elif covariance.ndim == 3:
        covariance = covariance[state]
    seen = ~np.isnan(step)
    if not seen.any():
        return 0.0
    part = covariance[np.ix_(seen, seen)]
    return stats.multivariate_normal.logpdf(step[seen], parameters["loc"][state][seen], part)


def _bernoulli(parameters, state, step):
    seen = ~np.isnan(step)
    return stats.bernoulli.logpmf(step[seen], parameters["probs"][state][seen]).sum()


def _categorical(parameters, state, step):
    blocks = np.split(parameters["probs"][state], np.cumsum(LEVELS)[:-1])
    pairs = zip(blocks, step, strict=True)
    return sum(np.log(block[int(code)]) for block, code in pairs if not np.isnan(code))


def _poisson(parameters, state, step):
    seen = ~np.isnan(step)
    return stats.poisson.logpmf(step[seen], parameters["rate"][state][seen]).sum()


def _levels(parameters, z):
    """NumPyro's categorical distributions of both features, with levels that never occur."""
    first, second = jnp.split(parameters["probs"], [LEVELS[0]], axis=-1)
    first = jnp.pad(first, [(0, 0), (0, LEVELS[1] - LEVELS[0])])
    return dist.Categorical(jnp.stack([first, second], 1)[z]).to_event(1)


EMISSIONS = [
    Emission(
        "spherical",
        {"loc": LOC, "scale": SCALE[:, :1]},
        lambda p: families.SphericalGaussian(p["loc"], p["scale"][..., 0]),
        lambda p, z: dist.Normal(p["loc"][z], p["scale"][z]).to_event(1),
        _gaussian,
        REAL,
    ),
    Emission(
        "diagonal",
        {"loc": LOC, "scale": SCALE},
        lambda p: families.DiagonalGaussian(p["loc"], p["scale"]),
        lambda p, z: dist.Normal(p["loc"][z], p["scale"][z]).to_event(1),
        _gaussian,
        REAL,
    ),
    Emission(
        "tied",
        {"loc": LOC, "covariance": COVARIANCE[0]},
        lambda p: families.TiedGaussian(p["loc"], p["covariance"]),
        lambda p, z: dist.MultivariateNormal(p["loc"][z], p["covariance"]),
        _gaussian,
        REAL,
    ),
    Emission(
        "full",
        {"loc": LOC, "covariance": COVARIANCE},
        lambda p: families.FullGaussian(p["loc"], p["covariance"]),
        lambda p, z: dist.MultivariateNormal(p["loc"][z], p["covariance"][z]),
        _gaussian,
        REAL,
    ),
    Emission(
        "bernoulli",
        {"probs": PROBS},
        lambda p: families.BernoulliVector(p["probs"]),
        lambda p, z: dist.Bernoulli(p["probs"][z]).to_event(1),
        _bernoulli,
        BITS,
    ),
    Emission(
        "categorical",
        {"probs": SHARES},
        lambda p: families.CategoricalVector(p["probs"], LEVELS),
        _levels,
        _categorical,
        CODES,
    ),
    Emission(
        "poisson",
        {"rate": RATE},
        lambda p: families.PoissonVector(p["rate"]),
        lambda p, z: dist.Poisson(p["rate"][z]).to_event(1),
        _poisson,
        COUNTS,
    ),
]


@pytest.fixture(params=EMISSIONS, ids=[e.name for e in EMISSIONS])
def emission(request):
    """One emission of the table."""
    return request.param


def _chain(emission, parameters=None, initial=INITIAL, transition=TRANSITION):
    step = emission.family(parameters or emission.parameters)
    return HiddenMarkov(initial, transition, step, positions=STEPS)


def _ragged(data, *, steps=False, cells=False):
    """Data whose sequences end where they do, with missing steps and cells within them."""
    rows = data.copy()
    rows[np.arange(STEPS) >= LENGTHS[:, None]] = np.nan
    if steps:
        rows[0, 1:3] = rows[2, 0] = np.nan
    if cells:
        rows[0, 0, 1] = rows[1, 1, 0] = rows[4, 2, 1] = np.nan
    return rows


def _every_path(emission, row, initial=INITIAL, transition=TRANSITION):
    """All paths of one sequence, ``(path, step)``, and their joint log-densities with it."""
    length = 1 + np.flatnonzero(~np.isnan(row).all(-1))[-1]
    paths = np.array(list(product(range(STATES), repeat=int(length))))
    joint = np.empty(len(paths))
    for n, path in enumerate(paths):
        joint[n] = np.log(initial[path[0]])
        joint[n] += sum(
            emission.log_density(emission.parameters, z, row[t]) for t, z in enumerate(path)
        )
        joint[n] += np.log(transition[path[:-1], path[1:]]).sum()
        if transition.shape[1] > STATES:
            joint[n] += np.log(transition[path[-1], -1])
    return paths, joint


def _by_brute_force(emission, rows, **chain):
    return [np.logaddexp.reduce(_every_path(emission, row, **chain)[1]) for row in rows]


def test_log_density_equals_numpyros_enumeration(emission):
    """The chain written with NumPyro's ``scan`` and enumerated by funsor."""
    rows = _ragged(emission.data)
    start = np.full(len(rows), STATES)

    def program(initial, transition, parameters):
        # the first state is drawn from one row more of the table
        table = jnp.concatenate([transition, initial[None]])

        def step(carry, given):
            before, t = carry
            with numpyro.plate("sequence", len(rows), dim=-1):
                z = numpyro.sample("z", dist.Categorical(table[before]))
                with mask(mask=t < LENGTHS):
                    numpyro.sample("x", emission.standard(parameters, z), obs=given)
            return (z, t + 1), None

        steps = jnp.asarray(np.nan_to_num(rows)).swapaxes(0, 1)
        scan(step, (jnp.asarray(start), 0), steps)

    @jax.jit
    def both(*given):
        prepared = enum(config_enumerate(program), first_available_dim=-2)
        initial, transition, parameters = given
        ours = _chain(emission, parameters, initial, transition).log_prob(jnp.asarray(rows))
        return log_density(prepared, given, {}, {})[0], ours

    found, ours = both(*map(jnp.asarray, (INITIAL, TRANSITION)), emission.parameters)
    np.testing.assert_allclose(ours.sum(), found, rtol=1e-10)


def test_missing_steps_and_cells_are_summed_out(emission):
    whole = emission.name in ("tied", "full")
    steps, both = (_ragged(emission.data, steps=True, cells=c) for c in (False, True))
    if whole:
        with pytest.raises(UnsupportedError, match="sequence 0 is missing some features of step 0"):
            _chain(emission).log_prob(both)
    chosen = [steps] if whole else [steps, both]

    @jax.jit
    def look(traced):
        """Where the data are known, and where they are not."""
        chains = [_chain(emission, transition=table) for table in (TRANSITION, ENDING)]
        return [[c.log_prob(r) for r in rows for c in chains] for rows in (chosen, traced)]

    expected = [
        _by_brute_force(emission, rows, transition=table)
        for rows in chosen
        for table in (TRANSITION, ENDING)
    ]
    for found in look(chosen):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_density_of_components_of_rows_and_of_one_row(emission):
    """Chains of every batch: a component for all rows, a component a row, and a single row."""
    other = {n: v if n == "covariance" else v[::-1] for n, v in emission.parameters.items()}
    rows = _ragged(emission.data, steps=True)
    tied = emission.name == "tied"
    stacked = {
        n: v if tied and n == "covariance" else np.stack([v, other[n]])
        for n, v in emission.parameters.items()
    }
    enumerated = {
        n: v if tied and n == "covariance" else np.expand_dims(v, 1) for n, v in stacked.items()
    }
    chosen = np.array([0, 1, 1, 0, 1])
    by_row = {n: v if tied and n == "covariance" else v[chosen] for n, v in stacked.items()}

    @jax.jit
    def look(rows):
        return {
            "each": jnp.stack([_chain(emission, p).log_prob(rows) for p in (stacked_0, other)]),
            "components": _chain(emission, enumerated).log_prob(rows),
            "a component a row": _chain(emission, by_row).log_prob(rows),
            "one row": _chain(emission).log_prob(rows[2]),
        }

    stacked_0 = emission.parameters
    found = look(jnp.asarray(rows))
    each = np.asarray(found["each"])
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(found["components"], each, rtol=1e-10)
    np.testing.assert_allclose(found["a component a row"], each[chosen, np.arange(5)], rtol=1e-10)
    np.testing.assert_allclose(found["one row"], each[0, 2], rtol=1e-10)


def test_expected_statistics_have_the_slope_of_the_density(emission):
    """Fisher's identity, at weights that differ from sequence to sequence."""
    rows = _ragged(emission.data, steps=True, cells=emission.name not in ("tied", "full"))
    weights = jnp.arange(1.0, 6.0)
    missing = _chain(emission).gaps(rows)
    given = jax.tree.map(jnp.asarray, (INITIAL, ENDING, emission.parameters))

    @jax.jit
    def both(given):
        def chain(given):
            return _chain(emission, given[2], given[0][None], given[1][None]).components()

        centre = jnp.full(FEATURES, 0.3)
        statistics = chain(given).expected_statistics(
            weights[None], jnp.asarray(rows), missing=missing, centre=centre
        )

        def density(given):
            prepared = chain(given).contract(jnp.asarray(rows), missing=missing, centre=centre)
            return (prepared[0] * weights).sum()

        def joint(given):
            return chain(given).expected_log_density(statistics, centre).sum()

        return jax.grad(density)(given), jax.grad(joint)(given), statistics

    slope, expected, statistics = both(given)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), slope, expected
    )
    lengths = np.array([4, 2, 3, 1, 4])
    np.testing.assert_allclose(statistics["initial"].sum(), weights.sum())
    np.testing.assert_allclose(statistics["transition"].sum(), weights @ lengths)
    np.testing.assert_allclose(statistics["transition"][..., -1].sum(), weights.sum())


def test_maxima_under_the_statistics_climb_the_density(emission):
    rows = _ragged(emission.data, steps=True)

    @jax.jit
    def climb(chain):
        def step(chain, _):
            flat = chain.components()
            centre = flat.centre(jnp.asarray(rows))
            total, looked = flat.look(
                flat.prepare(jnp.asarray(rows), missing=False, centre=centre),
                missing=False, centre=centre,
            )  # fmt: skip
            weights = jnp.ones_like(total)
            statistics = flat.sums(weights, looked, missing=False, centre=centre)
            best = flat.maximum_likelihood(statistics, centre)
            return flat.replace(**best), total.sum()

        return jax.lax.scan(step, chain.components(), None, length=4)[1]

    # full covariances of so few steps collapse after a few more
    totals = np.asarray(climb(_chain(emission, initial=INITIAL[None], transition=TRANSITION[None])))
    assert np.isfinite(totals).all()
    assert (np.diff(totals) > 0).all()


def test_draws_have_the_moments_of_states_and_of_pairs():
    """Means by position, and the product of neighbours, which only the chain makes dependent."""
    chain = _chain(EMISSIONS[1])
    drawn, path = jax.jit(lambda key: chain.sample_with_path(key, (DRAWS,)))(random.key(0))
    drawn, path = np.asarray(drawn), np.asarray(path)
    assert drawn.shape == (DRAWS, STEPS, FEATURES) and path.shape == (DRAWS, STEPS)
    share = INITIAL
    for t in range(STEPS):
        error = drawn[:, t].std(0) / np.sqrt(DRAWS)
        assert (np.abs(drawn[:, t].mean(0) - share @ LOC) < 5 * error).all()
        assert abs((path[:, t] == 1).mean() - share[1]) < 5 * np.sqrt(0.25 / DRAWS)
        if t + 1 < STEPS:
            pair = np.einsum("i,ij,id,jd->d", share, TRANSITION, LOC, LOC)
            products = drawn[:, t] * drawn[:, t + 1]
            error = products.std(0) / np.sqrt(DRAWS)
            assert (np.abs(products.mean(0) - pair) < 5 * error).all()
        share = share @ TRANSITION


def test_draws_of_chains_that_share_an_emission_are_their_own():
    step = EMISSIONS[1].family(EMISSIONS[1].parameters)
    chain = HiddenMarkov(np.tile(INITIAL, (400, 1)), TRANSITION, step, positions=STEPS)
    drawn, path = (np.asarray(v) for v in jax.jit(chain.sample_with_path)(random.key(1)))
    inside = drawn[path == 0][:, 0]
    assert len(inside) > 300
    assert abs(inside.mean() - LOC[0, 0]) < 5 * SCALE[0, 0] / np.sqrt(len(inside))
    assert 0.8 * SCALE[0, 0] < inside.std() < 1.2 * SCALE[0, 0]


def test_draws_that_end_are_missing_from_there_on():
    diagonal = EMISSIONS[1]
    chain = _chain(diagonal, transition=ENDING)
    drawn, path = jax.jit(lambda key: chain.sample_with_path(key, (DRAWS,)))(random.key(2))
    drawn, path = np.asarray(drawn), np.asarray(path)
    over = np.isnan(drawn).all(-1)
    np.testing.assert_array_equal(over, np.isnan(drawn).any(-1))
    np.testing.assert_array_equal(over, path == -1)
    assert (np.diff(over.astype(int), axis=1) >= 0).all() and not over[:, 0].any()
    share = INITIAL
    for t in range(1, STEPS):
        share = share @ ENDING[:, :STATES]
        assert abs((~over[:, t]).mean() - share.sum()) < 5 * np.sqrt(0.25 / DRAWS)


@pytest.mark.parametrize("name", ["diagonal", "full", "bernoulli"])
def test_filled_cells_follow_their_posterior(name):
    """Cells are mixtures over the states that the whole sequence leaves to their step."""
    emission = next(e for e in EMISSIONS if e.name == name)
    rows = _ragged(emission.data, steps=True)
    chain = _chain(emission)
    fill = jax.jit(jax.vmap(lambda key: chain.complete(key, jnp.asarray(rows))))
    filled = np.asarray(fill(random.split(random.key(3), DRAWS)))
    seen = ~np.isnan(rows)
    np.testing.assert_array_equal(filled[:, seen], np.broadcast_to(rows[seen], (DRAWS, seen.sum())))
    for row, step in ((0, 1), (0, 2), (2, 0)):
        paths, joint = _every_path(emission, rows[row])
        share = np.exp(joint - np.logaddexp.reduce(joint))
        share = np.array([share[paths[:, step] == z].sum() for z in range(STATES)])
        centre = emission.parameters["probs" if name == "bernoulli" else "loc"]
        cells = filled[:, row, step]
        error = cells.std(0) / np.sqrt(DRAWS)
        assert (np.abs(cells.mean(0) - share @ centre) < 5 * error).all()
        if name == "full":
            products = cells[:, 0] * cells[:, 1]
            second = COVARIANCE[:, 0, 1] + LOC[:, 0] * LOC[:, 1]
            error = products.std() / np.sqrt(DRAWS)
            assert abs(products.mean() - share @ second) < 5 * error
    assert np.isnan(filled[:, 1, 2:]).all()  # after the end of a sequence nothing is filled in


def test_an_emission_without_a_family_is_refused():
    with pytest.raises(TypeError, match="StudentT is not one of the exponential families"):
        HiddenMarkov(INITIAL, TRANSITION, dist.StudentT(3.0, LOC[:, 0]), positions=2)


# ---- worlds of textbooks -------------------------------------------------------------------------


def test_umbrella_world():
    """Russell and Norvig (2010), §15.2, with Wikipedia's five days: umbrella on all but one."""
    umbrella = families.BernoulliVector(np.array([[0.9], [0.2]]))
    chain = HiddenMarkov([0.5, 0.5], [[0.7, 0.3], [0.3, 0.7]], umbrella, positions=5)
    days = np.array([1.0, 1.0, 0.0, 1.0, 1.0])[None, :, None]
    np.testing.assert_allclose(chain.log_prob(days), -3.3725, atol=5e-5)
    rain = [0.8673, 0.8204, 0.3075, 0.8204, 0.8673]
    np.testing.assert_allclose(chain.state_shares(jnp.asarray(days))[0, :, 0], rain, atol=5e-5)


def test_rain_and_sun():
    """Wikipedia's example of Viterbi's algorithm: walk, shop, clean."""
    activity = families.CategoricalVector(np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]), (3,))
    chain = HiddenMarkov([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], activity, positions=3)
    days = jnp.array([0.0, 1.0, 2.0])[None, :, None]
    np.testing.assert_array_equal(chain.best_path(days), [[1, 0, 0]])
    flat = chain.components()
    prepared = flat.prepare(days, missing=False, centre=jnp.zeros(()))
    best, _ = flat.look(prepared, missing=False, centre=jnp.zeros(()), how="best")
    np.testing.assert_allclose(np.exp(best), [[0.01344]], rtol=1e-10)
    np.testing.assert_allclose(np.exp(chain.log_prob(days)), [0.033612], rtol=1e-10)
    shares = [[0.2317, 0.7683], [0.6241, 0.3759], [0.8640, 0.1360]]
    np.testing.assert_allclose(chain.state_shares(days)[0], shares, atol=5e-5)


ZUCCHINI = [
    (391.9189, [19.3645], [[1.0]], [1.0]),
    (342.3183, [15.4723, 26.1254], [[0.9340, 0.0660], [0.1285, 0.8715]], [0.6608, 0.3392]),
    (
        329.4603,
        [13.1457, 19.7211, 29.7144],
        [[0.9546, 0.0244, 0.0210], [0.0498, 0.8994, 0.0508], [0.0, 0.1966, 0.8034]],
        [0.4436, 0.4045, 0.1519],
    ),
]


@pytest.mark.parametrize("row", ZUCCHINI, ids=["1", "2", "3"])
def test_earthquakes_at_the_published_parameters(row):
    """Zucchini, MacDonald and Langrock (2016), §1.4 and table 3.1; parameters are rounded there."""
    published, rate, transition, initial = row
    counts = earthquakes()["count"].to_numpy(float)[None, :, None]
    emission = families.PoissonVector(np.array(rate)[:, None])
    chain = HiddenMarkov(initial, transition, emission, positions=counts.shape[1])
    np.testing.assert_allclose(chain.log_prob(counts), [-published], atol=2e-3)
