"""Tables of probabilities that rows are looked up in: counts and conditionals in closed form."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from scipy.special import logsumexp

from ppl_models import fit
from ppl_models.data import Categories
from ppl_models.inference.mcmc.rowwise_gibbs import RowwiseGibbs
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import rowwise_plan
from ppl_models.inference.rowwise.tables import Table

ITEMS, ANNOTATORS, CLASSES, LABELS = 40, 3, 2, 3


def crowd(
    item: Annotated[Any, Categories] = None,
    who: Annotated[Any, Categories] = None,
    label: Annotated[Any, Categories] = None,
    noisy: Annotated[Any, Categories] = None,
    *,
    clusters,
    items,
    annotators,
):
    """A line a label; items have classes, and one label more by nobody in particular."""
    common = numpyro.sample("common", dist.Dirichlet(jnp.full(LABELS, 4.0)))
    noise = numpyro.sample("noise", dist.Dirichlet(jnp.full(LABELS, 4.0)))
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("annotator", annotators, dim=-2), numpyro.plate("class", clusters, dim=-1):
        prior = dist.Dirichlet(1 + 2 * common)
        confusion = numpyro.sample("confusion", prior, infer={"event_dims": ["level"]})
    with numpyro.plate("item", items):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
    with numpyro.plate("line", item.shape[0]):
        numpyro.sample("label", dist.Categorical(confusion[who, z[item]]), obs=label)
    with numpyro.plate("item", items):
        mixed = 0.5 * noise + 0.5 / LABELS
        numpyro.sample("noisy", dist.Categorical(mixed), obs=noisy)


@pytest.fixture(scope="module")
def lines():
    generator = np.random.default_rng(3)
    truth = generator.integers(CLASSES, size=ITEMS)
    confusion = generator.dirichlet(np.ones(LABELS), (ANNOTATORS, CLASSES))
    item, who = (g.ravel() for g in np.mgrid[:ITEMS, :ANNOTATORS])
    label = [
        generator.choice(LABELS, p=confusion[w, truth[i]]) for i, w in zip(item, who, strict=True)
    ]
    noisy = generator.integers(LABELS, size=ITEMS)
    return {"item": item, "who": who, "label": np.array(label), "noisy": noisy}


@pytest.fixture(scope="module")
def problem(lines):
    with jax.enable_x64(True):
        from ppl_models.program.reading import read_data, read_program

        sizes = {"clusters": CLASSES, "items": ITEMS, "annotators": ANNOTATORS}
        yield Problem(*read_program(crowd, read_data(crowd, lines), sizes, {}, "float64"))


def test_tables_are_what_counts_add_to(problem):
    """Not what other priors depend on, nor what probabilities are mixed of."""
    plan = rowwise_plan(problem)
    assert plan.weights == "weights"
    assert plan.tables == (Table("confusion", (LABELS,)),)
    assert set(plan.free) == {"common", "noise"}


def test_gibbs_draws_tables_from_their_conditional(problem, lines):
    kernel = RowwiseGibbs(problem)
    assignment = jnp.arange(ITEMS) % CLASSES
    values = problem.structure.initial(random.key(1), radius=1.0)
    # probabilities of 0 and 1 have counts like all others
    values["confusion"] = jnp.eye(LABELS)[jnp.zeros((ANNOTATORS, CLASSES), int)]
    count = 4000
    draw = jax.jit(jax.vmap(lambda k: kernel._drawn_tables(k, values, assignment)["confusion"]))
    drawn = np.asarray(draw(random.split(random.key(2), count)))
    total = np.zeros((ANNOTATORS, CLASSES, LABELS)) + 1 + 2 * np.asarray(values["common"])
    np.add.at(total, (lines["who"], lines["item"] % CLASSES, lines["label"]), 1)
    mean = total / total.sum(-1, keepdims=True)
    spread = np.sqrt(mean * (1 - mean) / (total.sum(-1, keepdims=True) + 1))
    assert (np.abs(drawn.mean(0) - mean) < 5 * spread / np.sqrt(count)).all()
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.1)


def annotated(
    item: Annotated[Any, Categories] = None,
    who: Annotated[Any, Categories] = None,
    label: Annotated[Any, Categories] = None,
    *,
    clusters,
):
    """As above, the annotators' tables alone."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("annotator", ANNOTATORS, dim=-2), numpyro.plate("class", clusters, dim=-1):
        prior = dist.Dirichlet(jnp.full(LABELS, 1.5))
        confusion = numpyro.sample("confusion", prior, infer={"event_dims": ["level"]})
    with numpyro.plate("item", ITEMS):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
    with numpyro.plate("line", item.shape[0]):
        numpyro.sample("label", dist.Categorical(confusion[who, z[item]]), obs=label)


def test_em_ends_where_a_step_by_hand_stays(lines):
    """Dawid and Skene (1979): the steps written out."""
    data = {n: v for n, v in lines.items() if n != "noisy"}
    tree = fit(annotated, data, method="em", seed=0, clusters=CLASSES, starts=2, predictive=0,
               tolerance=1e-13)  # fmt: skip
    weights, confusion = (tree["posterior"][n].values[0, 0] for n in ("weights", "confusion"))
    logits = np.log(weights) + np.zeros((ITEMS, 1))
    with np.errstate(divide="ignore"):
        np.add.at(logits, lines["item"], np.log(confusion)[lines["who"], :, lines["label"]])
    height = logsumexp(logits, 1)
    gamma = np.exp(logits - height[:, None])
    total = np.full((ANNOTATORS, LABELS, CLASSES), 0.5)  # 1.5 - 1
    np.add.at(total, (lines["who"], lines["label"]), gamma[lines["item"]])
    again = (total / total.sum(1, keepdims=True)).swapaxes(1, 2)
    np.testing.assert_allclose(again, confusion, atol=2e-5)
    np.testing.assert_allclose(gamma.mean(0), weights, atol=2e-5)
