"""EM, hard EM and Gibbs where no statistics sum the rows up."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from scipy.special import beta, logsumexp

from ppl_models import fit, log_density, predict
from ppl_models.data import Bits, Categories, Reals
from ppl_models.errors import InputError
from ppl_models.inference.mcmc.gibbs_run import _block
from ppl_models.inference.newton import minimise
from ppl_models.posterior.result.restore import restored
from ppl_models.program.log_joint import log_joint


def lines(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None, *, clusters):
    """A mixture of linear regressions."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        b = numpyro.sample("b", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
        s = numpyro.sample("s", dist.HalfNormal(2.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(b[z, 0] + b[z, 1] * x, s[z]), obs=y)


def experts(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None):
    """Two lines, and weights that depend on x."""
    gate = numpyro.sample("gate", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    with numpyro.plate("cluster", 2):
        b = numpyro.sample("b", dist.Normal(0.0, 5.0))
        s = numpyro.sample("s", dist.HalfNormal(2.0))
    logits = jnp.stack([gate[0] + gate[1] * x, 0 * x], -1)
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.StudentT(4.0, b[z], s[z]), obs=y)


def groups(group: Any = None, x: Any = None):
    """Weights of every group under a Dirichlet prior that has no mode."""
    with numpyro.plate("donor", 2):
        w = numpyro.sample("w", dist.Dirichlet(jnp.full(2, 0.3)))
    with numpyro.plate("cluster", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    g = group.astype(int)
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(w[g]), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    x = random.normal(size=120)
    z = random.choice(2, 120, p=[0.6, 0.4])
    y = np.array([1.0, -2.0])[z] + np.array([2.0, -1.0])[z] * x
    return {"x": x, "y": y + np.array([0.3, 0.6])[z] * random.normal(size=120)}


@pytest.fixture(scope="module")
def em_tree(data):
    return fit(lines, data, method="em", seed=0, clusters=2, starts=6, predictive=0)


def parameters(tree):
    return {n: np.asarray(v[0, 0]) for n, v in tree["posterior"].data_vars.items()}


def slopes(tree):
    """Gradient of the log joint density at the fit, by unconstrained coordinates, no volume."""
    with restored(tree) as fitted:
        space, model = fitted.structure.space, fitted.model
        values = {n: jnp.asarray(v[0]) for n, v in fitted.values.items()}

        @jax.jit
        @jax.grad
        def slope(vector):
            at = space.constrain(space.unravel(vector))
            return log_joint(model, fitted.structure, at)

        return np.asarray(slope(space.ravel(space.unconstrain(values))))


def test_em_ends_where_the_gradient_is_zero(em_tree):
    assert np.abs(slopes(em_tree)).max() < 1e-3


# (the gradient at EM's end, and responsibilities there, are in the quick tests)
@pytest.mark.long
def test_em_agrees_with_weighted_least_squares(data):
    """Flat priors: the hand-written EM of a mixture of regressions, from the same point."""
    tree = fit(lines, data, method="em", seed=0, clusters=2, starts=6, predictive=0, priors="flat")
    actual = parameters(tree)
    design = np.stack([np.ones_like(data["x"]), data["x"]], 1)
    w, b, s = actual["w"], actual["b"], actual["s"]
    for _ in range(500):
        log_joint_rows = np.log(w) + scipy.stats.norm.logpdf(data["y"][:, None], design @ b.T, s)
        proportions = np.exp(log_joint_rows - logsumexp(log_joint_rows, axis=1, keepdims=True))
        w = proportions.mean(0)
        for k in range(2):
            weighted = design * proportions[:, k, None]
            b[k] = np.linalg.solve(weighted.T @ design, weighted.T @ data["y"])
            off = data["y"] - design @ b[k]
            s[k] = np.sqrt((proportions[:, k] * off**2).sum() / proportions[:, k].sum())
    again = parameters(tree)
    for name, value in {"w": w, "b": b, "s": s}.items():
        np.testing.assert_allclose(again[name], value, atol=2e-4)


def test_the_objective_never_falls(em_tree):
    objective = em_tree["starts"]["objective"].values
    rises = np.diff(objective, axis=1)
    assert np.isfinite(objective).sum() > 20
    assert (rises[np.isfinite(rises)] > -1e-8).all()


def test_density_and_responsibilities_by_hand(em_tree, data):
    at = parameters(em_tree)
    loc = at["b"][:, 0] + at["b"][:, 1] * data["x"][:, None]
    by_hand = np.log(at["w"]) + scipy.stats.norm.logpdf(data["y"][:, None], loc, at["s"])
    total = logsumexp(by_hand, axis=1)
    np.testing.assert_allclose(log_density(em_tree), total, atol=1e-10)
    np.testing.assert_allclose(predict(em_tree), np.exp(by_hand - total[:, None]), atol=1e-10)


def test_hard_em_is_a_fixed_point(data):
    tree = fit(lines, data, method="hard", seed=0, clusters=2, starts=6, predictive=0)
    at, z = parameters(tree), tree["posterior"]["assignment"].values[0, 0]
    loc = at["b"][:, 0] + at["b"][:, 1] * data["x"][:, None]
    by_hand = np.log(at["w"]) + scipy.stats.norm.logpdf(data["y"][:, None], loc, at["s"])
    assert (by_hand.argmax(1) == z).all()
    np.testing.assert_allclose(at["w"], np.bincount(z) / len(z), atol=1e-9)


# (`expert_mixture` of models/test_jobs.py and the program below are in the quick tests)
@pytest.mark.long
def test_em_of_weights_by_row(data):
    tree = fit(experts, data, method="em", seed=0, starts=4, predictive=0)
    assert np.abs(slopes(tree)).max() < 1e-3


def test_minimise_leaves_a_saddle_and_needs_no_curvature():
    def loss(v):
        return (v[0] ** 2 - 1) ** 2 + v[1] ** 2 + 1e-3 * v[0]

    minimum = minimise(loss, jnp.array([1e-3, 5.0]), 50)
    np.testing.assert_allclose(np.abs(minimum), [1.0, 0.0], atol=1e-2)
    many = minimise(lambda v: ((v - jnp.arange(80)) ** 2).sum(), jnp.zeros(80), 10)
    np.testing.assert_allclose(many, np.arange(80), atol=1e-3)


@pytest.mark.long
def test_nothing_to_move_is_left_where_it_is():
    """Effects that add up to zero over one cluster are no parameters."""
    assert minimise(lambda v: v.sum(), jnp.zeros(0), 5).shape == (0,)


def test_gibbs_agrees_with_nuts(data):
    options = {"seed": 0, "clusters": 2, "predictive": 0, "chains": 2, "draws": 1500}
    trees = [fit(lines, data, method=m, **options) for m in ("gibbs", "nuts")]
    for name in ("w", "b", "s"):
        gibbs, nuts = (t["posterior"][name].stack(sample=("chain", "draw")) for t in trees)
        error = float(nuts.std("sample").max()) / np.sqrt(200)
        np.testing.assert_allclose(gibbs.mean("sample"), nuts.mean("sample"), atol=4 * error)
        np.testing.assert_allclose(gibbs.std("sample"), nuts.std("sample"), rtol=0.25)


def ticks(x: Annotated[Any, Bits] = None, kind: Annotated[Any, Categories] = None):
    """Columns of one axis reach a program as it would get them in bare NumPyro."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
    p = numpyro.sample("p", dist.Beta(jnp.array([2.0, 1.0]), jnp.array([1.0, 2.0])).to_event(1))
    q = numpyro.sample("q", dist.Dirichlet(jnp.ones((2, 3))).to_event(1))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Bernoulli(p[z]), obs=x)
        numpyro.sample("kind", dist.Categorical(q[z]), obs=kind)


# (data of every kind: data/test_kinds.py; the density of such rows: models/test_jobs.py)
@pytest.mark.long
def test_single_columns_of_bits_and_categories_have_one_axis():
    random = np.random.default_rng(3)
    data = {"x": random.integers(0, 2, 40), "kind": random.choice(["a", "b", "c"], 40)}
    tree = fit(ticks, data, method="hard", seed=0, starts=1, predictive=0)
    at, codes = parameters(tree), np.searchsorted(["a", "b", "c"], data["kind"])
    chance = np.where(data["x"][:, None] == 1, at["p"], 1 - at["p"])
    by_hand = np.log((at["w"] * chance * at["q"].T[codes]).sum(1))
    np.testing.assert_allclose(log_density(tree), by_hand, atol=1e-9)


def test_a_covariate_may_be_constant_and_what_is_emitted_may_not(data):
    flat = {"x": np.ones(120), "y": data["y"]}
    tree = fit(lines, flat, method="em", seed=0, clusters=2, starts=6, predictive=0)
    assert np.isfinite(tree["sample_stats"]["lp"].item())
    with pytest.raises(InputError, match="y is constant"):
        fit(lines, {"x": data["x"], "y": np.ones(120)}, method="em", seed=0, clusters=2)


def sticks(x: Annotated[Any, Reals] = None):
    """Heavy tails under stick breaking, which tells an early cluster from a late one."""
    v = numpyro.sample("v", dist.Beta(1.0, 3.0).expand([1]).to_event(1))
    with numpyro.plate("cluster", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    weights = jnp.concatenate([v, 1 - v])
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.StudentT(30.0, loc[z], 1.0), obs=x)


def test_gibbs_draws_every_labelling_as_often_as_it_should():
    """Of two groups far apart the labelling's posterior has a closed form: beta functions."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(-20, 1, 11), random.normal(20, 1, 9)])
    options = {"chains": 2, "warmup": 100, "draws": 2000, "predictive": 0, "relabel": None}
    compiled = _block._cache_size()
    # (starts=0: nothing but Gibbs sampling is compiled)
    tree = fit(sticks, x, method="gibbs", seed=0, starts=0, **options)
    assert _block._cache_size() == compiled + 1  # no kernel begins with other types than it has on
    low_first = (tree["posterior"]["loc"].diff("cluster") > 0).values
    one, other = (beta(1 + a, 3 + b) for a, b in ((11, 9), (9, 11)))
    assert 0.05 < other / (one + other) < 0.95
    assert abs(low_first.mean() - one / (one + other)) < 0.05


def animals(counts):
    """An N-mixture: of the animals at a site each visit counts some; Royle (2004)."""
    rate = numpyro.sample("rate", dist.Gamma(2, 0.2))
    seen = numpyro.sample("seen", dist.Beta(1, 1))
    with numpyro.plate("site", counts.shape[0], dim=-2):
        number = dist.Poisson(rate).log_prob(jnp.arange(40.0))
        number = numpyro.sample("number", dist.Categorical(logits=number))
        with numpyro.plate("visit", counts.shape[1], dim=-1):
            numpyro.sample("counts", dist.Binomial(number, seen), obs=counts)


def test_totals_that_are_hidden_sites_exclude_no_counts():
    generator = np.random.default_rng(0)
    counts = generator.binomial(generator.poisson(10, 20)[:, None], 0.4, (20, 3))
    tree = fit(animals, {"counts": counts}, method="em", seed=0, predictive=0, starts=1)
    rate, seen = (tree["posterior"][n].item() for n in ("rate", "seen"))
    numbers = np.arange(40)
    weights = scipy.stats.poisson.logpmf(numbers, rate)
    weights -= logsumexp(weights)
    by_site = scipy.stats.binom.logpmf(counts[:, :, None], numbers, seen).sum(1) + weights
    np.testing.assert_allclose(log_density(tree), logsumexp(by_site, 1), rtol=1e-9)
