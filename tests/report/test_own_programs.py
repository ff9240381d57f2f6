"""Programs of a user's own: pages and pictures of what ``fit`` writes for them."""

from __future__ import annotations

import html
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, write_report
from ppl_models.plots import choose_plots
from ppl_models.posterior.result.validation import validate

COMPONENTS = {"clusters", "prototypes", "profiles", "transitions", "transition graph", "states"}
ROWS = 40


def mixture(emission):
    """A mixture of two components whose sites are called as those of the package's families."""

    def program(x=None, *, rows=None):
        rows = rows if x is None else len(x)
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
        with numpyro.plate("cluster", 2):
            parameters = emission.sites()
        with numpyro.plate("row", rows):
            z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
            numpyro.sample("x", emission.density(*(p[z] for p in parameters)), obs=x)

    return program


class StudentT:
    """Locations and scales, as a Gaussian has."""

    @staticmethod
    def sites():
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
        return loc, numpyro.sample("scale", dist.HalfNormal(2.0).expand([2]).to_event(1))

    @staticmethod
    def density(loc, scale):
        return dist.StudentT(4.0, loc, scale).to_event(1)


class NegativeBinomial:
    """Probabilities by feature, as a Bernoulli has."""

    @staticmethod
    def sites():
        return (numpyro.sample("probs", dist.Beta(2.0, 2.0).expand([2]).to_event(1)),)

    @staticmethod
    def density(probs):
        return dist.NegativeBinomialProbs(5.0, probs).to_event(1)


class VonMises:
    """Locations without a scale, as k-means has."""

    @staticmethod
    def sites():
        return (numpyro.sample("loc", dist.Uniform(-3.1, 3.1).expand([2]).to_event(1)),)

    @staticmethod
    def density(loc):
        return dist.VonMises(loc, 4.0).to_event(1)


EMISSIONS = {"StudentT": StudentT, "NegativeBinomialProbs": NegativeBinomial, "VonMises": VonMises}


def drawn(name: str) -> np.ndarray:
    generator = np.random.default_rng(0)
    half = np.arange(ROWS)[:, None] % 2
    if name == "NegativeBinomialProbs":
        return generator.negative_binomial(5, np.where(half, 0.7, 0.3), (ROWS, 2)).astype(float)
    noise = 0.4 * generator.standard_t(4, size=(ROWS, 2))
    return np.clip(np.where(half, 1.5, -1.5) + noise, -3, 3)


@pytest.mark.parametrize("name", EMISSIONS)
def test_a_numpyro_distribution_is_not_drawn_as_another(name, tmp_path: Path):
    program = mixture(EMISSIONS[name])
    tree = fit(program, drawn(name), method="map", seed=0, starts=2, predictive=5)
    facts = validate(tree)
    assert facts.emission.family.endswith(f":{name}")
    names = {picture.name for picture in choose_plots(tree)}
    assert not names & COMPONENTS and "predictive" in names
    page = html.unescape(write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "ellipses" not in page and "probability of a one" not in page
