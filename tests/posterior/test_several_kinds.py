"""A program of measurements and answers, written as NumPyro's users write them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import bernoulli, norm

from ppl_models import fit, generate, impute, load, log_density, predict, save
from ppl_models.cli.output import data_text
from ppl_models.errors import InputError

ROWS = 30


def patients(size=None, answers=None, clusters=2, rows=None):
    """Two measurements and three answers of each patient."""
    rows = rows if size is None else len(size)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(3.0).expand([2]).to_event(1))
        probs = numpyro.sample("probs", dist.Beta(1.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("size", dist.Normal(loc[z], scale[z]).to_event(1), obs=size)
        numpyro.sample("answers", dist.Bernoulli(probs[z]).to_event(1), obs=answers)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    kind = np.arange(ROWS) % 2
    size = generator.normal(size=(ROWS, 2)) + 6 * kind[:, None]
    answers = generator.random((ROWS, 3)) < np.where(kind, 0.8, 0.2)[:, None]
    return {
        "size": pd.DataFrame(size, columns=["height", "width"]),
        "answers": pd.DataFrame(answers.astype(int), columns=["a", "b", "c"]),
    }


@pytest.fixture(scope="module")
def tree(data):
    return fit(patients, data, method="em", seed=0, clusters=2, starts=2, predictive=2)


@pytest.fixture(scope="module")
def logits(tree, data):
    """Log joint densities ``(row, cluster)`` of measurements, and of answers, by SciPy."""
    at = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    size, answers = (v.values[:, None] for v in data.values())
    weighed = np.log(at["weights"]) + norm.logpdf(size, at["loc"], at["scale"]).sum(-1)
    return weighed, bernoulli.logpmf(answers, at["probs"]).sum(-1)


def test_axes_of_one_name_are_told_apart(tree):
    observed = tree["observed_data"]
    assert observed["size"].dims == ("row", "feature")
    assert observed["answers"].dims == ("row", "answers_feature")
    assert list(observed["answers_feature"].values) == ["a", "b", "c"]
    assert tree["posterior_predictive"]["answers"].dims[2:] == ("row", "answers_feature")
    # axes that the program leaves nameless are called as those of the data that they describe
    assert tree["posterior"]["probs"].sel(answers_feature="c").shape == (1, 1, 2)


def test_both_kinds_enter_the_density(tree, data, logits):
    density = log_density(tree, data).values.ravel()
    np.testing.assert_allclose(density, logsumexp(sum(logits), axis=1), rtol=1e-9)


def test_unknown_answers_are_left_out_of_the_assignment(tree, data, logits, tmp_path):
    save(tree, tmp_path / "fit.nc")
    rows = {"size": data["size"][:4], "answers": data["answers"][:4] * np.nan}
    probabilities = predict(load(tmp_path / "fit.nc"), rows).values
    expected = np.exp(logits[0] - logsumexp(logits[0], axis=1, keepdims=True))[:4]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-9)
    filled = impute(tree, rows, seed=0)
    assert filled["answers"].isin([0, 1]).all()
    np.testing.assert_array_equal(filled["size"][0], rows["size"])


def test_generated_tables_name_the_columns_by_kind(tree):
    text = data_text(generate(tree, rows=2, seed=0), tree, as_table=True)
    columns = set(text.splitlines()[0].split(","))
    assert columns == {"size_height", "size_width", "answers_a", "answers_b", "answers_c"}


def test_what_does_not_belong_together_is_refused(tree, data):
    with pytest.raises(InputError, match="29 entries.*'answers', and plate 'row' has 30"):
        fit(patients, {**data, "answers": data["answers"][1:]}, method="em", seed=0)
    with pytest.raises(InputError, match="answers, which are not given"):
        log_density(tree, {"size": data["size"]})
    with pytest.raises(InputError, match="answers lacks the column 'a'"):
        log_density(tree, {"size": data["size"], "answers": data["size"]})
