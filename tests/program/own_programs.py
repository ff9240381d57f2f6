"""Programs as a user writes them: other names, NumPyro's distributions, other shapes of prior."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.distributions import HiddenMarkov, UnivariateGaussian

PARALLEL = {"enumerate": "parallel"}


def hierarchical(x=None, *, groups=2):
    """A plate called "component", a location with a prior of its own, one scale for all."""
    middle = numpyro.sample("middle", dist.Normal(0.0, 3.0))
    spread = numpyro.sample("spread", dist.Gamma(4.0, 2.0))
    proportions = numpyro.sample("shares", dist.Dirichlet(jnp.full(groups, 3.0)))
    width = numpyro.sample("width", dist.Gamma(3.0, 3.0))
    with numpyro.plate("component", groups):
        place = numpyro.sample("place", dist.Normal(middle, spread))
    numpyro.deterministic("gap", place.max() - place.min())
    numpyro.deterministic("twice", 2 * place)
    with numpyro.plate("person", len(x)):
        kind = numpyro.sample("kind", dist.Categorical(proportions), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(place[kind], width), obs=x)


def two_sites(height, visits):
    """Two emissions share one assignment; weights come from a softmax of normals."""
    score = numpyro.sample("score", dist.Normal(0.0, 1.0).expand((2,)).to_event(1))
    with numpyro.plate("type", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
        scale = numpyro.sample("scale", dist.HalfNormal(2.0))
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5))
    with numpyro.plate("visitor", len(height)):
        z = numpyro.sample("z", dist.Categorical(logits=score), infer=PARALLEL)
        numpyro.sample("height", dist.Normal(loc[z], scale[z]), obs=height)
        numpyro.sample("visits", dist.Poisson(rate[z]), obs=visits)


def shared_scale(x=None):
    """Vectors by ``to_event(1)``, one scale, a derived variance, weights that are held."""
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
    numpyro.deterministic("variance", scale**2)
    with numpyro.plate("component", 2), numpyro.plate_stack("unused", []):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0).expand((2,)).to_event(1))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(jnp.array([0.3, 0.7])), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(loc[z], scale).to_event(1), obs=x)


def no_assignment(x=None):
    """Nothing is hidden: one normal."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 2.0), obs=x)


def known_places(x=None, *, rows=None):
    """Two known normals, unknown shares: a posterior of one dimension."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.array([2.0, 1.0])))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(jnp.array([-1.0, 2.0])[z], 1.5), obs=x)


# ---- programs that some or all methods refuse ---------------------------------------------------


def nothing_emitted(x=None):
    numpyro.sample("loc", dist.Normal(0.0, 1.0))


def observed_outside_plates(x=None):
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    numpyro.sample("x", dist.Normal(loc, 1.0).expand((len(x),)).to_event(1), obs=x)


def with_a_param(x=None):
    loc = numpyro.param("loc", jnp.zeros(()))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)


def of_squares(x=None):
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0), obs=x**2)


def regression(x=None, *, slope=None):
    """The mean differs from row to row."""
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(jnp.array([0.5, 0.5])), infer=PARALLEL)
        mean = effect * jnp.arange(len(x)) + jnp.array([0.0, 5.0])[z]
        numpyro.sample("x", dist.Normal(mean, 1.0), obs=x)


def weights_by_row(x=None):
    """The weights differ from row to row."""
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
    proportion = jax.nn.sigmoid(effect * jnp.arange(len(x)))
    with numpyro.plate("row", len(x)):
        probs = jnp.stack([proportion, 1 - proportion], -1)
        z = numpyro.sample("z", dist.Categorical(probs), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(jnp.array([0.0, 5.0])[z], 1.0), obs=x)


def heavy_tails(x=None):
    """An emission that is no exponential family."""
    loc = numpyro.sample("loc", dist.Normal(jnp.array([-3.0, 3.0]), 1.0).to_event(1))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(jnp.array([0.5, 0.5])), infer=PARALLEL)
        numpyro.sample("x", dist.StudentT(4.0, loc[z], 1.0), obs=x)


def heavy_tailed_mixture(x=None, *, groups=2):
    """Student's t in every cluster, under names of the user's own; no exponential family."""
    proportions = numpyro.sample("shares", dist.Dirichlet(jnp.ones(groups)))
    width = numpyro.sample("width", dist.HalfNormal(2.0))
    with numpyro.plate("component", groups):
        place = numpyro.sample("place", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        kind = numpyro.sample("kind", dist.Categorical(proportions), infer=PARALLEL)
        numpyro.sample("x", dist.StudentT(4.0, place[kind], width), obs=x)


def derived_variance(x=None, *, groups=2):
    """The emission's scale is the root of a site, twice as large in the second cluster."""
    variance = numpyro.sample("variance", dist.Gamma(2.0, 1.0))
    with numpyro.plate("component", groups):
        place = numpyro.sample("place", dist.Normal(0.0, 5.0).expand((2,)).to_event(1))
    scale = jnp.sqrt(variance) * jnp.arange(1, groups + 1)
    with numpyro.plate("row", len(x)):
        kind = numpyro.sample("kind", dist.Categorical(jnp.ones(groups) / groups), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(place[kind], scale[kind][..., None]).to_event(1), obs=x)


def zero_inflated(x=None, *, groups=2):
    """A distribution that is built on another: the parameters of both."""
    gate = numpyro.sample("gate", dist.Beta(1.0, 3.0))
    with numpyro.plate("component", groups):
        rate = numpyro.sample("mean_count", dist.Gamma(2.0, 0.5))
    with numpyro.plate("row", len(x)):
        kind = numpyro.sample("kind", dist.Categorical(jnp.ones(groups) / groups), infer=PARALLEL)
        numpyro.sample("x", dist.ZeroInflatedPoisson(gate, rate[kind]), obs=x)


def chains_of_many_paths(x=None):
    """Two known kinds of hidden chains: one with many paths of equal density, one with a single."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.array([3.0, 3.0])))
    loc = jnp.array([[0.0, 0.0], [0.6, 9.0]])
    initial = jnp.array([[0.5, 0.5], [1.0, 0.0]])
    transition = jnp.stack([jnp.full((2, 2), 0.5), jnp.eye(2)])
    with numpyro.plate("sequence", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        steps = UnivariateGaussian(loc[z], jnp.ones(2))
        chain = HiddenMarkov(initial[z], transition[z], steps, positions=x.shape[1])
        numpyro.sample("x", chain, obs=x)


def mixture_of_hidden_chains(x=None):
    """Sequences of two kinds, each a hidden chain of two states with means of its own."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.array([2.0, 2.0])))
    initial = jnp.full(2, 0.5)
    with numpyro.plate("kind", 2, dim=-2), numpyro.plate("state", 2, dim=-1):
        mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        moves = numpyro.sample("moves", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("sequence", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        steps = UnivariateGaussian(mean[z], jnp.ones(2))
        chain = HiddenMarkov(initial, moves[z], steps, positions=x.shape[1])
        numpyro.sample("x", chain, obs=x)


def latent_for_every_row(x=None):
    """A continuous hidden site for every row."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        true = numpyro.sample("true", dist.Normal(loc, 1.0))
        numpyro.sample("x", dist.Normal(true, 0.5), obs=x)


def endless(x=None):
    """An assignment with infinitely many values."""
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Poisson(2.0))
        numpyro.sample("x", dist.Normal(z, 1.0), obs=x)


def two_plates(x=None):
    """The assignment within two plates."""
    with numpyro.plate("group", 2, dim=-2), numpyro.plate("row", len(x), dim=-1):
        z = numpyro.sample("z", dist.Categorical(jnp.ones(2) / 2), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(z, 1.0), obs=x)


def not_conjugate(x=None):
    """Nothing hidden, but a prior without a closed form."""
    loc = numpyro.sample("loc", dist.Cauchy(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)


def entangled(x=None):
    """Each site conjugate given the other, not both at once."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 2.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)
        numpyro.factor("tie", jnp.zeros(()) * rate)


def broken(x=None):
    raise RuntimeError("a slip of the pen")


def takes_no_data(*, clusters=2):
    numpyro.sample("loc", dist.Normal(0.0, 1.0))
