"""numpyro.handlers.scale and mask, and numpyro.factor: every method has NumPyro's own density."""

from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.contrib.funsor import log_density as enumerated_density
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import log_density as plain_density
from numpyro.infer.util import potential_energy
from scipy.special import softmax

from ppl_models import choose_clusters, fit, generate, predict
from ppl_models.errors import UnsupportedError
from ppl_models.inference.mcmc.marginal_density import marginal_program, reference_point_at
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_and_sum
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.log_joint import log_joint, unconstrained_log_joint
from ppl_models.program.model import Model

KINDS = np.repeat([0, 1], 10)
ROWS = np.array([-2.0, 2.0])[KINDS] + np.random.default_rng(1).normal(size=20)
WEIGHT = np.where(KINDS == 0, 0.4, 1.7)
PLACES = ("both", "z", "x", "nested", "prior", "mask", "factor", "cluster")
#: where EM climbs in the quick tests; the density that it climbs is compared at all places
CLIMBED = ("both", "cluster")


def mixture(weight=None, x=None, *, at="both"):
    """Two clusters, with handlers in several places."""

    def scaled(*names):
        return handlers.scale(scale=weight) if at in names else nullcontext()

    with handlers.scale(scale=2.5) if at == "prior" else nullcontext():
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(2, 2.0)))
        with numpyro.plate("cluster", 2):
            loc = numpyro.sample("loc", dist.Normal(0.0, 3.0))
    if at == "factor":
        numpyro.factor("near", -((loc.sum() - 1) ** 2))
    with numpyro.plate("row", len(x)), scaled("both", "nested"):
        with scaled("z"):
            z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        by_cluster = handlers.scale(scale=1.0 + z) if at == "cluster" else nullcontext()
        hidden = handlers.mask(mask=weight > 1) if at == "mask" else nullcontext()
        with scaled("x", "nested"), by_cluster, hidden:
            numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


DATA = {"weight": WEIGHT, "x": ROWS}
VALUES = {"weights": np.array([0.3, 0.7]), "loc": np.array([-1.0, 2.5])}


def problem_of(at):
    model = Model(mixture, DATA, {"at": at}, {})
    return Problem(model, model.structure())


@pytest.fixture(autouse=True)
def _double():  # the values are in double precision
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("at", PLACES)
def test_the_log_joint_density_is_that_of_numpyros_enumeration(at):
    problem = problem_of(at)
    program = enum(config_enumerate(problem.model.run), -2)
    marginal = marginal_program(problem)

    @jax.jit
    def densities(values):
        free = problem.structure.space.unconstrain(values)
        vector = problem.structure.space.ravel(free)
        return (
            log_joint(problem.model, problem.structure, values),
            enumerated_density(program, (), {}, values)[0],
            -potential_energy(marginal, (), {}, free),
            unconstrained_log_joint(problem.model, problem.structure, vector),
        )

    ours, by_numpyro, free, expected = densities(VALUES)
    np.testing.assert_allclose(ours, by_numpyro, rtol=1e-9)
    np.testing.assert_allclose(free, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "at", [at if at in CLIMBED else pytest.param(at, marks=pytest.mark.long) for at in PLACES]
)
def test_em_ends_where_the_gradient_of_numpyros_density_is_zero(at):
    tree = fit(mixture, DATA, method="em", seed=0, at=at, predictive=0, starts=2)
    posterior = tree["posterior"].dataset
    actual = {n: jnp.asarray(posterior[n].values[0, 0]) for n in ("weights", "loc")}
    problem = problem_of(at)

    def density(proportion, loc):
        values = {"weights": jnp.stack([proportion, 1 - proportion]), "loc": loc}
        return log_joint(problem.model, problem.structure, values)

    look = jax.jit(jax.value_and_grad(density, (0, 1)))
    height, slopes = look(actual["weights"][0], actual["loc"])
    np.testing.assert_allclose(np.r_[tuple(map(np.ravel, slopes))], 0, atol=2e-3)
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values[0, 0], height, rtol=1e-9)


@pytest.mark.parametrize("at", ["both", pytest.param("x", marks=pytest.mark.long)])
def test_a_pass_of_gibbs_draws_from_scaled_logits_and_weighs_statistics(at):
    problem = problem_of(at)
    pieces = problem.model.pieces(VALUES, problem.structure)
    chunks = problem.chunks
    one = jax.jit(lambda key: draw_and_sum(key, pieces, problem.structure, chunks, keep=True))
    expected, chosen = jax.lax.map(one, random.split(random.key(0), 4000))
    log_weights = np.log(np.asarray(VALUES["weights"]))[:, None]
    density = -0.5 * (ROWS - np.asarray(VALUES["loc"])[:, None]) ** 2
    logits = WEIGHT * density + (WEIGHT if at == "both" else 1) * log_weights
    proportions = softmax(logits, 0)
    np.testing.assert_allclose((chosen == 1).mean(0), proportions[1], atol=4 * 0.5 / 4000**0.5)
    one_hot = np.asarray(chosen)[:, None] == np.arange(2)[:, None]
    counted = one_hot * (WEIGHT if at == "both" else 1)
    np.testing.assert_allclose(expected.counts, counted.sum(-1), rtol=1e-12)


def test_gibbs_has_the_posterior_mean_of_a_scaled_program():
    def coin(weight=None, x=None):
        proportion = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))
        with numpyro.plate("row", len(x)), handlers.scale(scale=weight):
            z = numpyro.sample("z", dist.Categorical(proportion), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(jnp.array([-1.0, 1.0])[z], 1.0), obs=x)

    tree = fit(coin, DATA, method="gibbs", seed=0, chains=2, warmup=50, draws=1500, predictive=0)
    grid = np.linspace(0, 1, 2001)[1:-1, None]
    first, second = (np.log(s) - 0.5 * (ROWS - m) ** 2 for s, m in ((grid, -1), (1 - grid, 1)))
    height = np.logaddexp(WEIGHT * first, WEIGHT * second).sum(1)
    density = np.exp(height - height.max())
    expected = (density * grid[:, 0]).sum() / density.sum()
    draws = tree["posterior"]["share"].values[..., 0]
    error = draws.std() / np.sqrt(draws.size / 20)  # twenty sweeps a draw to spare
    assert abs(draws.mean() - expected) < 4 * error
    probabilities = predict(tree, by_draw=True).values[0, 0]
    point = np.log(tree["posterior"]["share"].values[0, 0])
    logits = WEIGHT * (point[:, None] - 0.5 * (ROWS - np.array([[-1], [1]])) ** 2)
    np.testing.assert_allclose(probabilities, softmax(logits, 0).T, rtol=1e-8)


def test_single_precision_measures_scaled_rows_from_a_point():
    data = {n: v.astype(np.float32) for n, v in DATA.items()}
    exact = {}
    for at in ("both", "x"):
        problem = problem_of(at)
        exact[at] = float(log_joint(problem.model, problem.structure, VALUES))
    with jax.enable_x64(False):
        for at, expected in exact.items():
            model = Model(mixture, data, {"at": at}, {})
            problem = Problem(model, model.structure())
            point = {"weights": np.float32([0.4, 0.6]), "loc": np.float32([-1.1, 2.4])}
            reference = reference_point_at(problem, point)
            values = {n: jnp.asarray(v, jnp.float32) for n, v in VALUES.items()}
            free = problem.structure.space.unconstrain(values)
            program = marginal_program(problem, reference)

            @jax.jit
            def look(free, program=program, space=problem.structure.space):
                energy = potential_energy(program, (), {}, free)
                return energy, space.constrain_with_volume(free)[1]

            energy, volume = look(free)
            np.testing.assert_allclose(
                -energy + reference.total, expected + float(volume), rtol=1e-5
            )


@pytest.mark.parametrize("method", ["kmeans", "telescoping"])
def test_methods_that_count_whole_rows_refuse_and_name_one_that_serves(method):
    with pytest.raises(UnsupportedError, match=r"numpyro\.handlers\.scale.*'z'.*use method="):
        fit(mixture, DATA, method=method, seed=0)


def test_numbers_of_clusters_are_not_compared_by_rows_that_count_otherwise():
    def several(weight=None, x=None, *, clusters):
        del clusters
        return mixture(weight, x)

    with pytest.raises(UnsupportedError, match=r"handlers\.scale"):
        choose_clusters(several, DATA, range(1, 3), seed=0)


def test_scaled_rows_with_gaps_are_not_drawn():
    rows = np.random.default_rng(0).normal(size=(12, 2))
    rows[3, 1] = np.nan
    program = handlers.scale(gaussian_mixture, 2.0)
    with pytest.raises(UnsupportedError, match=r"sums missing cells out.*use method="):
        fit(program, rows, method="gibbs", seed=0, clusters=2, covariance="full")


def test_a_factor_within_the_rows_counts_once_a_row():
    def shifted(x=None):
        loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", len(x)):
            numpyro.factor("tilt", -jnp.abs(loc))
            numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)

    model = Model(shifted, {"x": ROWS}, {}, {})
    structure = model.structure()
    values = structure.initial(random.key(1))
    expected = plain_density(shifted, (), {"x": ROWS}, values)[0]
    np.testing.assert_allclose(log_joint(model, structure, values), expected, rtol=1e-9)


# (the density under handlers around a program: the tests below)
@pytest.mark.long
def test_a_handler_around_a_program_is_still_there_after_the_fit():
    scaled = handlers.scale(gaussian_mixture, 3.0)
    arguments = {"method": "em", "seed": 0, "clusters": 2, "predictive": 0}
    one = fit(scaled, ROWS, **arguments)
    two = fit(gaussian_mixture, ROWS, **arguments)
    assert one.attrs["program"] != two.attrs["program"]
    loc = two["posterior"]["loc"].values
    for tree in (one, two):
        first = tree["responsibilities"]["responsibilities"].values
        np.testing.assert_allclose(predict(tree).values, first, rtol=1e-8)
        assert generate(tree, 2, seed=0)["x"].shape[0] == 2
    assert not np.allclose(one["posterior"]["loc"].values, loc, rtol=1e-8)


def level(x=None):
    """Rows about one level."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0))
    spread = numpyro.sample("spread", dist.Gamma(2.0, 2.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, spread), obs=x)


def level_of_known_rows(x=None):
    """The same with a mask of what is observed."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0), obs=x, obs_mask=~jnp.isnan(x))


AROUND = {
    "do": handlers.do(level, data={"loc": 1.0}),
    "block": handlers.block(handlers.seed(level, 0), hide=["loc"]),
    "substitute": handlers.substitute(level, data={"loc": 2.0}),
    "mask": handlers.mask(level, mask=False),
    "reparam": handlers.reparam(level, config={"loc": LocScaleReparam(0)}),
    "lift": handlers.lift(handlers.scale(level, 2.0), prior={"none": dist.Normal(0.0, 1.0)}),
}


@pytest.mark.parametrize("name", AROUND)
def test_other_handlers_around_a_program_mean_what_they_mean_to_numpyro(name):
    model = Model(AROUND[name], {"x": ROWS}, {}, {})
    structure = model.structure()
    values = structure.initial(random.key(1))

    @jax.jit
    def densities(values):
        plain = plain_density(handlers.seed(model.run, 0), (), {}, values)[0]
        return log_joint(model, structure, values), plain

    actual, expected = densities(values)
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


def test_what_is_conditioned_or_masked_by_observation_is_refused_with_a_way_out():
    with pytest.raises(UnsupportedError, match=r"'loc' is observed .*by fixed="):
        fit(handlers.condition(level, data={"loc": 1.0}), ROWS, method="map", seed=0)
    options = {"method": "map", "seed": 0, "steps": 50, "predictive": 0}
    tree = fit(level, ROWS, fixed={"loc": 1.0}, **options)
    assert "loc" not in tree["posterior"]
    rows = np.where(np.arange(20) == 3, np.nan, ROWS)
    with pytest.raises(UnsupportedError, match="'x' has an obs_mask"):
        fit(level_of_known_rows, rows, method="map", seed=0)
    assert np.isfinite(fit(level, rows, **options)["posterior"]["loc"]).all()
