"""Several discrete sites of the same rows: summed out by their combinations."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers
from scipy.special import logsumexp

from ppl_models import diagnose, fit, generate, log_density, predict, sensitivity, write_report
from ppl_models.data import Counts, Reals
from ppl_models.errors import InputError, UnsupportedError


def kinds_and_parts(x: Annotated[Any, Reals] = None, *, rows=None):
    """A mixture of mixtures: a kind, and within it one of three parts."""
    rows = rows if x is None else len(x)
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("kind", 2):
        v = numpyro.sample("v", dist.Dirichlet(jnp.ones(3)))
        loc = numpyro.sample("loc", dist.Normal(0.0, 8.0).expand([3]).to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        u = numpyro.sample("u", dist.Categorical(v[z]), infer={"enumerate": "parallel"})
        return numpyro.sample("x", dist.Normal(loc[z, u], scale[z]), obs=x)


def by_row(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None):
    """Two switches, one of which depends on a covariate, and a line."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    shift = numpyro.sample("shift", dist.Normal(0.0, 3.0))
    with numpyro.plate("row", len(x)):
        a = numpyro.sample("a", dist.Bernoulli(logits=x), infer={"enumerate": "parallel"})
        b = numpyro.sample("b", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(slope[a] * x + shift * b, 0.5), obs=y)


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    z, u = random.integers(0, 2, 150), random.integers(0, 3, 150)
    loc = np.array([[-12.0, -9.0, -6.0], [3.0, 7.0, 11.0]])
    return loc[z, u] + np.array([0.3, 0.7])[z] * random.normal(size=150)


@pytest.fixture(scope="module")
def tree(rows):
    return fit(kinds_and_parts, rows, method="em", seed=0, starts=8, predictive=0)


def parts_by_hand(tree, rows):
    """log p(z, u, x), ``(row, kind, part)``."""
    at = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    density = scipy.stats.norm.logpdf(rows[:, None, None], at["loc"], at["scale"][:, None])
    return np.log(at["w"])[:, None] + np.log(at["v"]) + density


def test_density_and_predictions_by_hand(tree, rows):
    by_hand = parts_by_hand(tree, rows)
    total = logsumexp(by_hand, axis=(1, 2))
    np.testing.assert_allclose(log_density(tree), total, atol=1e-10)
    proportions = np.exp(by_hand - total[:, None, None])
    np.testing.assert_allclose(predict(tree), proportions.reshape(-1, 6), atol=1e-10)
    kinds, parts = predict(tree, site="z"), predict(tree, site="u", by_draw=True)
    assert (kinds.dims, parts.dims) == (("row", "z"), ("chain", "draw", "row", "u"))
    np.testing.assert_allclose(kinds, proportions.sum(2), atol=1e-10)
    np.testing.assert_allclose(parts[0, 0], proportions.sum(1), atol=1e-10)
    with pytest.raises(InputError, match="the discrete sites of the rows are z, u"):
        predict(tree, site="v")


def test_em_finds_kinds_and_parts(tree):
    """Every part of a kind has the kind's own scale, and the rows are its fixed point."""
    actual = np.sort(tree["posterior"]["loc"].values[0, 0].ravel())
    np.testing.assert_allclose(actual, [-12, -9, -6, 3, 7, 11], atol=0.5)
    assert "6 combinations of the values of sites 'z' and 'u'" in tree.attrs["notes"]


def test_generated_rows_have_the_mixture(tree):
    drawn = generate(tree, 4000, seed=1)["x"].values.ravel()
    at = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    weights = at["w"][:, None] * at["v"]
    assert abs(drawn.mean() - (weights * at["loc"]).sum()) < 4 * drawn.std() / np.sqrt(4000)


@pytest.mark.long
def test_draws_agree_with_each_other():
    random = np.random.default_rng(1)
    x = random.normal(size=60)
    a, b = random.uniform(size=60) < 1 / (1 + np.exp(-x)), random.uniform(size=60) < 0.3
    y = np.where(a, 2.0, -1.0) * x + 3.0 * b + 0.5 * random.normal(size=60)
    options = {"seed": 0, "predictive": 0, "chains": 2, "draws": 800}
    trees = [fit(by_row, {"x": x, "y": y}, method=m, **options) for m in ("gibbs", "nuts")]
    gibbs, nuts = (t["posterior"].to_dataset() for t in trees)
    for name in ("slope", "shift"):
        sd = nuts[name].std(("chain", "draw"))
        gap = abs(gibbs[name].mean(("chain", "draw")) - nuts[name].mean(("chain", "draw")))
        assert float((gap / sd).max()) < 0.35


def test_sites_that_cannot_be_combined():
    def apart(x: Any = None):
        with numpyro.plate("other", 3):
            k = numpyro.sample("k", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        with numpyro.plate("row", len(x)):
            z = numpyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(z + k.sum(), 1.0), obs=x)

    def unequal(x: Any = None):
        m = numpyro.sample("m", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", len(x)):
            with handlers.scale(scale=2.0):
                z = numpyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            u = numpyro.sample("u", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(m + z + u, 1.0), obs=x)

    with pytest.raises(UnsupportedError, match="'k', 'z' are discrete and hidden, and cannot be"):
        fit(apart, np.arange(6.0), method="em", seed=0)
    with pytest.raises(UnsupportedError, match="'z' have different scales|'u' have different"):
        fit(unequal, np.arange(6.0), method="em", seed=0)


# (scaled sites: program/test_scaled_sites.py)
@pytest.mark.long
def test_sites_within_one_scale_are_combined():
    """The way out that the message names, with a scale that comes with the rows."""

    def scaled(x: Any = None, weight: Any = None):
        m = numpyro.sample("m", dist.Normal(0.0, 3.0))
        with numpyro.plate("row", len(x)), handlers.scale(scale=weight):
            z = numpyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            u = numpyro.sample("u", dist.Bernoulli(0.2 + 0.5 * z), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(m + 6.0 * z + u, 0.5), obs=x)

    x = np.array([0.1, 1.2, 6.0, 7.1, 6.9, 0.3])
    weight = np.array([0.5, 1.0, 2.0, 1.0, 0.7, 1.5])
    data = {"x": x, "weight": weight}
    tree = fit(scaled, data, method="em", seed=0, predictive=0, starts=2)
    m = float(tree["posterior"]["m"].values.squeeze())
    z, u = np.array([0, 0, 1, 1])[:, None], np.array([0, 1, 0, 1])[:, None]
    proportion = 0.2 + 0.5 * z
    prior = np.log(0.5) + np.log(np.where(u == 1, proportion, 1 - proportion))
    by_hand = weight * (prior + scipy.stats.norm.logpdf(x, m + 6 * z + u, 0.5))
    total = logsumexp(by_hand, axis=0)
    np.testing.assert_allclose(predict(tree), np.exp(by_hand - total).T, atol=1e-6)
    lp = total.sum() + scipy.stats.norm.logpdf(m, 0, 3)
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values.squeeze(), lp, rtol=1e-9)


def zeros(y: Annotated[Any, Counts] = None):
    """Zero-inflated counts, the zero's cause a hidden bit of probability ``gate``."""
    gate = numpyro.sample("gate", dist.Beta(1.0, 1.0))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5))
    with numpyro.plate("row", len(y)):
        z = numpyro.sample("z", dist.Bernoulli(gate), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Poisson(jnp.where(z == 1, 0.0, rate)), obs=y)


def noisy(x: Annotated[Any, Reals] = None):
    """Uniform noise as cluster 0, and a plate ``cluster`` over the other two."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("cluster", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        spread = jnp.where(z == 0, 10.0, 0.5)
        numpyro.sample("x", dist.Normal(jnp.where(z == 0, 0.0, loc[z - 1]), spread), obs=x)


def test_a_bernoulli_site_has_two_clusters_with_weights(tmp_path):
    random = np.random.default_rng(2)
    y = random.poisson(4.0, 120) * (random.uniform(size=120) < 0.7)
    # flat priors: the maximum of the likelihood has a closed form for the rate's equation
    tree = fit(zeros, y, method="em", seed=0, starts=2, predictive=0, priors="flat")
    gate, rate = (tree["posterior"][n].item() for n in ("gate", "rate"))
    assert tree["posterior"]["gate"].dims == ("chain", "draw")
    np.testing.assert_allclose(rate / (1 - np.exp(-rate)), y[y > 0].mean(), rtol=1e-4)
    np.testing.assert_allclose((1 - gate) * (1 - np.exp(-rate)), (y > 0).mean(), rtol=1e-4)
    weights = tree["emission_parameters"]["z.probs"].values[0, 0]
    np.testing.assert_allclose(weights, [1 - gate, gate], rtol=1e-9)
    assert "components are in use" in str(diagnose(tree))
    write_report(tree, tmp_path / "zeros.html")


# (axes of combined sites: the density by hand above)
@pytest.mark.long
def test_a_plate_over_some_of_the_clusters_is_an_axis_of_its_own(tmp_path):
    random = np.random.default_rng(3)
    x = np.concatenate([random.normal(-4, 0.5, 30), random.normal(3, 0.5, 30)])
    tree = fit(noisy, x, method="gibbs", seed=0, chains=2, warmup=50, draws=50, predictive=20)
    assert tree["posterior"]["loc"].sizes["cluster_plate"] == 2
    assert len(sensitivity(tree))
    write_report(tree, tmp_path / "noisy.html")
