"""Programs whose clusters a sampler may number as it likes, and programs whose clusters it may not.

Each row says which labels may change places and which axes of which sites go with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions.transforms import OrderedTransform

from ppl_models.data import Bits, Reals, Series
from ppl_models.distributions import HiddenMarkov, SphericalGaussian

ENUMERATE = {"enumerate": "parallel"}
_generator = np.random.default_rng(3)
_cluster = np.arange(24) % 3
PLANE = _generator.normal(size=(24, 3)) + 4.0 * np.eye(3)[_cluster]
LINE = np.array([-2.0, 0.0, 2.0])[_cluster] + 0.3 * _generator.normal(size=24)
ANSWERS = _generator.binomial(1, 0.2 + 0.6 * np.eye(3)[_cluster])
SERIES = _generator.normal(size=(4, 6)) + 3.0 * (np.arange(6) % 3)


def _rows(x: Any, rows: int | None) -> Any:
    return rows if x is None else jnp.shape(x)[0]


def logits(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """Weights as logits, of a site in no plate."""
    eta = numpyro.sample("eta", dist.Normal(0.0, 1.0).expand([clusters]).to_event(1))
    with numpyro.plate("kind", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
        scale = numpyro.sample("scale", dist.HalfNormal(3.0))
    numpyro.deterministic("largest", jnp.argmax(eta))
    numpyro.deterministic("probs", jax.nn.softmax(eta))
    numpyro.deterministic("spread", loc.max() - loc.min())
    with numpyro.plate("row", _rows(x, rows)):
        z = numpyro.sample("z", dist.Categorical(logits=eta), infer=ENUMERATE)
        return numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)


def student(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """No exponential family; a mean of the means."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    centre = numpyro.sample("centre", dist.Normal(0.0, 5.0))
    with numpyro.plate("kind", clusters):
        loc = numpyro.sample("loc", dist.Normal(centre, 5.0))
    with numpyro.plate("row", _rows(x, rows)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        return numpyro.sample("x", dist.StudentT(4.0, loc[z], 1.0), obs=x)


def square(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """As many features as clusters, a scale a feature; the clusters come second in one site."""
    rows, features = (rows, clusters) if x is None else jnp.shape(x)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    loc = numpyro.sample("loc", dist.Normal(0, 5).expand([features, clusters]).to_event(2))
    tail = numpyro.sample("tail", dist.HalfNormal(2.0).expand([clusters]).to_event(1))
    scale = numpyro.sample("scale", dist.HalfNormal(2.0).expand([features]).to_event(1))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        emission = dist.StudentT(3.0 + tail[z][..., None], loc.T[z], scale)
        return numpyro.sample("x", emission.to_event(1), obs=x)


def regressions(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None, *, clusters):
    """Regressions, coefficients ``(feature, cluster)``, as many features as clusters."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0).expand([3, clusters]).to_event(2))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("row", jnp.shape(x)[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        mean = (x * slope.T[z]).sum(-1)
        return numpyro.sample("y", dist.Normal(mean, noise), obs=y)


def gate(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None, *, clusters):
    """A gate whose last cluster is the reference: the others may change places."""
    with numpyro.plate("gate", clusters - 1):
        g = numpyro.sample("g", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
    with numpyro.plate("cluster", clusters):
        a = numpyro.sample("a", dist.Normal(0.0, 5.0))
    rows = jnp.shape(x)[0]
    eta = jnp.concatenate([x @ g.T, jnp.zeros((rows, 1))], -1)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(logits=eta), infer=ENUMERATE)
        return numpyro.sample("y", dist.Laplace(a[z], 1.0), obs=y)


def noise_first(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """Cluster 0 is wide noise about 0, the others have locations of their own."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters + 1)))
    with numpyro.plate("kind", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", _rows(x, rows)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        where = jnp.where(z == 0, 0.0, loc[jnp.maximum(z - 1, 0)])
        return numpyro.sample("x", dist.Cauchy(where, jnp.where(z == 0, 20.0, 1.0)), obs=x)


def shared(x: Annotated[Any, Bits] = None, *, clusters, rows=None):
    """Two of three clusters share what the third has of its own."""
    rows, features = (rows, 3) if x is None else jnp.shape(x)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    base = numpyro.sample("base", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("kind", clusters):
        tilt = numpyro.sample("tilt", dist.Normal(0.0, 1.0).expand([features]).to_event(1))
    offset = base[jnp.array([0, 0, 1])]
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        emission = dist.Bernoulli(logits=offset[z][..., None] + tilt[z])
        return numpyro.sample("x", emission.to_event(1), obs=x)


def terms(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """A mixture as a distribution: no discrete site."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("kind", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
        scale = numpyro.sample("scale", dist.HalfNormal(3.0))
    mixture = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(loc, scale))
    with numpyro.plate("row", _rows(x, rows)):
        return numpyro.sample("x", mixture, obs=x)


def chain(x: Annotated[Any, Series] = None, *, states, rows=None):
    """A hidden Markov model whose sites have names and axes of their own."""
    start = numpyro.sample("start", dist.Dirichlet(jnp.ones(states)))
    stay = numpyro.sample("stay", dist.Normal(0.0, 1.0).expand([states, states]).to_event(2))
    middle = numpyro.sample("middle", dist.Normal(0.0, 5.0).expand([states]).to_event(1))
    rows, positions = (rows, 6) if x is None else jnp.shape(x)[:2]
    emission = SphericalGaussian(middle[:, None], 1.0)
    with numpyro.plate("sequence", rows):
        hidden = HiddenMarkov(start, jax.nn.softmax(stay), emission, positions=positions)
        return numpyro.sample("x", hidden, obs=x)


def ordered(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """Ordered means: every label means one thing."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    prior = dist.Normal(0.0, 10.0).expand([clusters]).to_event(1)
    loc = numpyro.sample("loc", dist.TransformedDistribution(prior, OrderedTransform()))
    with numpyro.plate("row", _rows(x, rows)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        return numpyro.sample("x", dist.Laplace(loc[z], 1.0), obs=x)


def sticks(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """Stick breaking: early clusters are larger a priori."""
    stick = numpyro.sample("stick", dist.Beta(1.0, 1.5).expand([clusters - 1]).to_event(1))
    left = jnp.concatenate([jnp.ones(1), jnp.cumprod(1 - stick)])
    weights = left * jnp.concatenate([stick, jnp.ones(1)])
    with numpyro.plate("kind", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", _rows(x, rows)):
        z = numpyro.sample("z", dist.Categorical(weights), infer=ENUMERATE)
        return numpyro.sample("x", dist.Laplace(loc[z], 1.0), obs=x)


@dataclass(frozen=True)
class Case:
    """A program, its data, and how its labels may change.

    Args:
        program: the function.
        data: site -> values.
        axes: the axes that go with labels, each with the component that it begins with.
        classes: labels that may change places (default: all).
        size: argument -> number.
        components: how many labels there are.
    """

    program: Callable
    data: Mapping[str, np.ndarray]
    axes: Mapping[str, tuple] = field(default_factory=dict)
    classes: tuple = ((0, 1, 2),)
    size: Mapping[str, int] = field(default_factory=lambda: {"clusters": 3})
    components: int = 3


FIRST = ((0, 0),)
CASES = [
    Case(logits, {"x": LINE}, {"eta": FIRST, "loc": FIRST, "scale": FIRST}),
    Case(student, {"x": LINE}, {"weights": FIRST, "loc": FIRST}),
    Case(square, {"x": PLANE}, {"weights": FIRST, "loc": ((1, 0),), "tail": FIRST}),
    Case(regressions, {"x": PLANE, "y": LINE}, {"weights": FIRST, "slope": ((1, 0),)}),
    Case(gate, {"x": PLANE, "y": LINE}, {"g": FIRST, "a": FIRST}, ((0, 1),)),
    Case(
        noise_first,
        {"x": LINE},
        {"weights": FIRST, "loc": ((0, 1),)},
        ((1, 2, 3),),
        components=4,
    ),
    Case(shared, {"x": ANSWERS}, {"weights": FIRST, "tilt": FIRST}, ((0, 1),)),
    Case(terms, {"x": LINE}, {"weights": FIRST, "loc": FIRST, "scale": FIRST}),
    Case(
        chain,
        {"x": SERIES[..., None]},
        {"start": FIRST, "stay": ((0, 0), (1, 0)), "middle": FIRST},
        size={"states": 3},
    ),
    Case(ordered, {"x": LINE}, {}, ()),
    Case(sticks, {"x": LINE}, {}, ()),
]
