"""Programs of a user's own: pages and pictures of what ``fit`` writes for them."""

from __future__ import annotations

import html
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr

from ppl_models import fit, write_report
from ppl_models.plots import choose_plots, close
from ppl_models.plots.drawing.components import component_summaries
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


@pytest.mark.parametrize(
    "name",
    ["StudentT", *(pytest.param(n, marks=pytest.mark.long) for n in list(EMISSIONS)[1:])],
)
def test_a_numpyro_distribution_is_not_drawn_as_another(name, tmp_path: Path):
    program = mixture(EMISSIONS[name])
    tree = fit(program, drawn(name), method="map", seed=0, starts=2, predictive=5)
    facts = validate(tree)
    assert facts.emission.family.endswith(f":{name}")
    names = {picture.name for picture in choose_plots(tree)}
    assert not names & COMPONENTS and "predictive" in names
    page = html.unescape(write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "ellipses" not in page and "probability of a one" not in page


def turnips(crop=None, leaves=None, *, rows=None):
    """Weights and leaves of turnips, in the words of a grower."""
    rows = rows if crop is None else len(crop)
    beds = numpyro.sample("beds", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("sort", 2):
        heft = numpyro.sample("heft", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
        lean = numpyro.sample("lean", dist.HalfNormal(3.0).expand([2]).to_event(1))
        growth = numpyro.sample("growth", dist.Gamma(2.0, 0.2).expand([3]).to_event(1))
    with numpyro.plate("turnip", rows):
        sort = numpyro.sample("sort_of", dist.Categorical(beds), infer={"enumerate": "parallel"})
        numpyro.sample("crop", dist.Normal(heft[sort], lean[sort]).to_event(1), obs=crop)
        numpyro.sample("leaves", dist.Poisson(growth[sort]).to_event(1), obs=leaves)


@pytest.fixture(scope="module")
def field() -> xr.DataTree:
    generator = np.random.default_rng(1)
    half = np.arange(ROWS)[:, None] % 2
    data = {
        "crop": pd.DataFrame(
            generator.normal(6.0 * half, 1.0, (ROWS, 2)), columns=["wide", "tall"]
        ),
        "leaves": pd.DataFrame(generator.poisson(3.0 + 9.0 * half, (ROWS, 3)), columns=list("abc")),
    }
    return fit(turnips, data, method="em", seed=0, starts=2, predictive=3)


def test_sites_of_any_name_get_the_pictures_of_their_emissions(field):
    names = [picture.name for picture in choose_plots(field)]
    assert names == [
        "clusters", "profiles: leaves", "responsibilities", "predictive", "predictive: leaves",
        "path",
    ]  # fmt: skip
    clusters, leaves = (picture.draw() for picture in choose_plots(field)[:2])
    axes = clusters.viz["plot"].item()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("wide", "tall")
    curves = clusters.get_viz("ellipses", "shown", cluster=0).get_paths()
    middle = curves[0].vertices[:-1].mean(0)
    np.testing.assert_allclose(middle, field["posterior"]["heft"].values[0, 0, 0], atol=1e-6)
    dots = [line.get_ydata() for line in leaves.viz["plot"].item().lines]
    np.testing.assert_allclose(dots, field["posterior"]["growth"].values[0, 0])
    close(clusters)
    close(leaves)


def test_the_page_tells_both_kinds_of_data_and_every_component_in_words(field, tmp_path: Path):
    page = html.unescape(write_report(field, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert f"crop: {ROWS} turnips × 2 features; leaves: {ROWS} turnips × 3 features" in page
    assert "In words of crop" in page and "In words of leaves" in page
    for wide, tall in field["posterior"]["heft"].values[0, 0]:
        # (numbers on pages have a minus sign, which is no hyphen)
        assert f"wide {wide:.3g} (".replace("-", "\N{MINUS SIGN}") in page
        assert f"tall {tall:.3g} (".replace("-", "\N{MINUS SIGN}") in page
    assert "Which cluster is each turnip in?" in page


@pytest.mark.parametrize("features", [1, pytest.param(2, marks=pytest.mark.long)])
def test_hidden_states_are_told_in_words(features, tmp_path: Path):
    generator = np.random.default_rng(0)
    steps = np.concatenate([generator.normal(0, 1, 20), generator.normal(8, 1, 20)])
    tree = fit("hidden_markov", [np.tile(steps[:, None], features)], method="em", seed=0, states=2,
               starts=1, predictive=2)  # fmt: skip
    page = html.unescape(write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "What are the hidden states like?" in page and "In words" in page
    words = component_summaries(tree)
    means = tree["posterior"]["loc"].values[0, 0].reshape(2, -1)
    assert len(words) == 2
    assert all(f"{mean[0]:.3g} (" in text for text, mean in zip(words, means, strict=True))
    (states,) = [p for p in choose_plots(tree) if p.name == "states"]
    assert states.caption in page
