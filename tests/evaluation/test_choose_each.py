"""Numbers of clusters that are fitted each by itself: other weights, rows not summed up."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from sklearn.mixture import GaussianMixture

from ppl_models import choose_clusters
from ppl_models.data import Reals
from ppl_models.errors import InputError


def scores(x: Annotated[Any, Reals] = None, *, clusters):
    """Weights by a softmax of as many scores as there are clusters."""
    s = numpyro.sample("s", dist.Normal(0.0, 1.0).expand([clusters]).to_event(1))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
        scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(logits=s), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)


def lines(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None, *, clusters):
    """A mixture of linear regressions."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.full(clusters, 2.0)))
    with numpyro.plate("cluster", clusters):
        b = numpyro.sample("b", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
        s = numpyro.sample("s", dist.HalfNormal(2.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(b[z, 0] + b[z, 1] * x, s[z]), obs=y)


def variances(x: Annotated[Any, Reals] = None, *, clusters):
    """Clusters that are switched off have a weight of 0, where this prior's density is 0."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.full(clusters, 2.0)))
    with numpyro.plate("group", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
        variance = numpyro.sample("variance", dist.Gamma(2.0, 1.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], jnp.sqrt(variance[z])), obs=x)


@pytest.fixture(scope="module")
def random():
    return np.random.default_rng(0)


# (numbers that are fitted each by itself, against scikit-learn:
# test_terms_of_a_mixture_distribution_against_scikit_learn; softmax weights:
# posterior/test_label_symmetry.py)
@pytest.mark.long
def test_weights_by_softmax_against_scikit_learn(random):
    x = np.concatenate([random.normal(-3, 1, 100), random.normal(3, 0.7, 150)])
    table = choose_clusters(scores, x, (1, 2), seed=0, starts=4).set_index("clusters")
    for clusters in (1, 2):
        peer = GaussianMixture(clusters, tol=1e-10, max_iter=2000, n_init=4, random_state=0)
        peer.fit(x[:, None])
        row = table.loc[clusters]
        np.testing.assert_allclose(row["log_likelihood"], 250 * peer.score(x[:, None]), atol=2e-3)
        np.testing.assert_allclose(row["bic"], peer.bic(x[:, None]), atol=4e-3)


def test_a_prior_that_excludes_empty_clusters_is_left_out_of_the_likelihood():
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(-2, 1, 150), generator.normal(2, 0.5, 150)])
    table = choose_clusters(variances, x, (1, 2), seed=0, starts=4)
    assert table.attrs["best"] == {"clusters": 2}
    actual = table.set_index("clusters")["log_likelihood"]
    one = -150 * (np.log(2 * np.pi * x.var()) + 1)
    peer = GaussianMixture(2, tol=1e-10, max_iter=2000, n_init=4, random_state=0).fit(x[:, None])
    np.testing.assert_allclose(actual[1], one, atol=1e-3)
    np.testing.assert_allclose(actual[2], 300 * peer.score(x[:, None]), atol=2e-3)


# (a mixture of regressions: inference/test_rowwise.py; numbers that are fitted each by itself: the
# test before and the one after)
@pytest.mark.long
def test_a_mixture_of_regressions(random):
    x = random.normal(size=150)
    z = random.choice(2, 150)
    y = np.array([2.0, -2.0])[z] * x + np.array([1.0, -1.0])[z] + 0.4 * random.normal(size=150)
    table = choose_clusters(lines, {"x": x, "y": y}, (1, 2), seed=0, starts=4)
    assert table.attrs["best"] == {"clusters": 2}
    one = table.set_index("clusters").loc[1]
    design = np.stack([np.ones(150), x], 1)
    left = y - design @ np.linalg.lstsq(design, y)[0]
    by_hand = -0.5 * 150 * (np.log(2 * np.pi * np.mean(left**2)) + 1)
    np.testing.assert_allclose(one["log_likelihood"], by_hand, atol=1e-6)
    assert table.set_index("clusters")["parameters"].to_dict() == {1: 3, 2: 7}


def terms(x: Annotated[Any, Reals] = None, *, kinds):
    """A mixture as a distribution, its number of terms by another name."""
    proportion = numpyro.sample("share", dist.Dirichlet(jnp.full(kinds, 2.0)))
    loc = numpyro.sample("loc", dist.Normal(0.0, 5.0).expand([kinds]).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(2.0).expand([kinds]).to_event(1))
    with numpyro.plate("row", len(x)):
        normals = dist.Normal(loc, scale)
        numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(proportion), normals), obs=x)


def test_terms_of_a_mixture_distribution_against_scikit_learn(random):
    x = np.concatenate([random.normal(-3, 1, 60), random.normal(1, 0.7, 90)])
    with pytest.raises(InputError, match=r"say by size= which of them"):
        choose_clusters(terms, x, (2,), seed=0)
    row = choose_clusters(terms, x, (2,), seed=0, starts=3, size="kinds").loc[0]
    peer = GaussianMixture(2, tol=1e-10, max_iter=2000, n_init=4, random_state=0).fit(x[:, None])
    assert row["kinds"] == 2
    np.testing.assert_allclose(row["log_likelihood"], peer.score(x[:, None]) * len(x), atol=1e-3)
    np.testing.assert_allclose(row["bic"], peer.bic(x[:, None]), atol=1e-2)
    unclear = -2 * np.log(peer.predict_proba(x[:, None]).max(1)).sum()
    np.testing.assert_allclose(row["icl"] - row["bic"], unclear, atol=1e-2)
