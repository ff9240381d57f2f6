"""Clusters measured with known errors, against SciPy's densities."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from numpyro import handlers
from scipy.stats import multivariate_normal

from ppl_models import catalogue, fit, log_density
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.known_errors import KnownErrors
from ppl_models.inference.rowwise.m_step import maximise, rowwise_plan
from ppl_models.program.reading import read_data, read_program

_g = np.random.default_rng(3)
_factors = _g.normal(size=(9, 2, 2))
COVARIANCES = _factors @ np.swapaxes(_factors, -1, -2) + 0.1 * np.eye(2)
X = _g.normal(size=(9, 2)) * 2
X[1, 0] = X[4, 1] = np.nan


def _logits(name: str, data: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Weighted log-densities ``(cluster, row)`` at some values of the sites, and these values."""
    function = catalogue.program(name)
    observed = read_data(function, data)
    model, structure = read_program(function, observed, {"clusters": 2}, {}, "float64")
    values = structure.initial(random.key(1), radius=1.0)
    actual = jax.jit(lambda: model.logits(values, structure))()
    return np.asarray(actual), {n: np.asarray(v) for n, v in values.items()}


@pytest.mark.parametrize("form", ["variances", "covariances"])
def test_measured_rows_have_the_density_of_both_scatters(form, double_precision):
    each = COVARIANCES if form == "covariances" else COVARIANCES * np.eye(2)
    flat = each.reshape(9, 4) if form == "covariances" else np.diagonal(each, axis1=1, axis2=2)
    actual, values = _logits("extreme_deconvolution", {"x": X, "errors": flat})
    for k, n in np.ndindex(actual.shape):
        seen = ~np.isnan(X[n])
        total = (values["covariance"][k] + each[n])[np.ix_(seen, seen)]
        expected = multivariate_normal(values["loc"][k][seen], total).logpdf(X[n][seen])
        np.testing.assert_allclose(actual[k, n], expected + np.log(values["weights"][k]), rtol=1e-9)


def test_errors_of_another_width_are_refused():
    program = handlers.seed(catalogue.program("extreme_deconvolution"), 0)
    with pytest.raises(InputError, match="2 variances or 4 cells"):
        program(X, np.ones((9, 3)), clusters=2)


@pytest.mark.parametrize("wrong", [[-1.0, 1.0], [np.nan, 1.0], [1.0, 2.0, 0.0, 1.0], [1, 2, 2, 1]])
def test_errors_that_are_no_covariances_are_refused(wrong):
    with pytest.raises(InputError, match="errors"):
        _logits("extreme_deconvolution", {"x": X, "errors": np.tile(wrong, (9, 1))})


def test_too_few_degrees_of_freedom_are_refused():
    program = handlers.seed(catalogue.program("extreme_deconvolution"), 0)
    with pytest.raises(InputError, match="needs more than 1"):
        program(errors=np.ones((9, 2)), clusters=2, degrees_of_freedom=0.5)


def test_a_step_of_em_is_that_of_the_closed_form(double_precision):
    """Bovy, Hogg and Roweis (2011), eqs. 15 to 17, row by row, gaps left out."""
    function = catalogue.program("extreme_deconvolution")
    observed = read_data(function, {"x": X, "errors": COVARIANCES.reshape(9, 4)})
    model, structure = read_program(function, observed, {"clusters": 2}, {}, "float64")
    plan = rowwise_plan(Problem(model, structure), flat=True)
    assert (plan.free, plan.errors) == (("scale_diagonal",), KnownErrors("x", "loc", "covariance"))
    values = structure.initial(random.key(1), radius=1.0)
    weights = _g.uniform(0.2, 1, (2, 9))
    step = partial(maximise, model, structure, plan, flat=True)
    moved = jax.jit(step)(values, jnp.asarray(weights))
    for k in range(2):
        loc, covariance = (np.asarray(values[n])[k] for n in ("loc", "covariance"))
        means, spreads = [], []
        for n in range(9):
            seen = ~np.isnan(X[n])
            cross = covariance[:, seen]
            gain = cross @ np.linalg.inv((covariance + COVARIANCES[n])[np.ix_(seen, seen)])
            means.append(loc + gain @ (X[n] - loc)[seen])
            spreads.append(covariance - gain @ cross.T)
        proportion = weights[k] / weights[k].sum()
        mean = proportion @ np.array(means)
        shift = np.array(means) - mean
        scatter = np.einsum("n,ni,nj->ij", proportion, shift, shift)
        scatter = scatter + np.einsum("n,nij->ij", proportion, np.array(spreads))
        np.testing.assert_allclose(moved["loc"][k], mean, rtol=1e-9)
        np.testing.assert_allclose(moved["covariance"][k], scatter, rtol=1e-8)
    np.testing.assert_allclose(moved["weights"], weights.sum(1) / weights.sum(), rtol=1e-12)


def test_a_sweep_of_gibbs_moves_every_site():
    tree = fit("extreme_deconvolution", {"x": X, "errors": np.ones((9, 2))}, method="gibbs",
               clusters=2, seed=0, starts=1, chains=1, warmup=20, draws=20,
               predictive=0)  # fmt: skip
    for name, draws in tree["posterior"].data_vars.items():
        moved = np.asarray(draws.std("draw")) > 0
        assert moved.all() or name == "assignment", name


@pytest.mark.long
def test_gibbs_agrees_with_nuts_on_groups_far_from_zero():
    """Every site moves, from a start at EM's mode and no share of the way to 0 off it."""
    import arviz as az

    draws = np.random.default_rng(5)
    x = 4_000 + 3_000 * (np.arange(80) % 2)[:, None] + draws.normal(size=(80, 2))
    data = {"x": x, "errors": np.full((80, 2), 0.2)}
    trees = {
        method: fit("extreme_deconvolution", data, method=method, clusters=2, seed=0, starts=4,
                    chains=2, warmup=300, draws=300, predictive=0)["posterior"]
        for method in ("gibbs", "nuts")
    }  # fmt: skip
    for name in ("loc", "covariance"):
        both = []
        for posterior in trees.values():
            order = np.argsort(posterior["loc"][..., 0].mean(("chain", "draw")).values)
            values = posterior.to_dataset()[[name]].isel(cluster=order)
            effective = az.ess(values)[name].values
            assert (effective > 30).all(), name
            assert (az.rhat(values)[name] < 1.1).all(), name
            mean, deviation = (getattr(values[name], of)(("chain", "draw")).values
                               for of in ("mean", "std"))  # fmt: skip
            both.append((mean, deviation / np.sqrt(effective)))
        (one, error), (second, its) = both
        assert (np.abs(one - second) < 5 * np.hypot(error, its)).all(), name


@pytest.mark.long  # (a fit of 3,000 rows; a step of it is checked above)
def test_a_drawn_deconvolution_is_found_to_monte_carlo_error():
    generator = np.random.default_rng(1)
    loc, scale = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 5.0]]), np.array([1.0, 0.5, 0.8])
    cluster = np.arange(3000) % 3
    errors = generator.uniform(0.1, 1.5, (3000, 2))
    x = loc[cluster] + np.sqrt(scale[cluster, None] ** 2 + errors) * generator.normal(
        size=(3000, 2)
    )
    tree = fit("extreme_deconvolution", {"x": x, "errors": errors}, method="em", seed=0, clusters=3,
               starts=4, priors="flat", predictive=0)  # fmt: skip
    actual = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    order = [int(np.abs(actual["loc"] - centre).sum(1).argmin()) for centre in loc]
    assert sorted(order) == [0, 1, 2]
    total = scale[:, None] ** 2 + errors.mean(0)  # variance of what is measured
    assert (np.abs(actual["loc"][order] - loc) < 5 * np.sqrt(total / 1000)).all()
    variances = np.diagonal(actual["covariance"][order], axis1=1, axis2=2)
    assert (np.abs(variances - scale[:, None] ** 2) < 5 * np.sqrt(2 / 1000) * total).all()
    # a maximum of the likelihood is above the truth
    by_cluster = [
        -((x - loc[k]) ** 2 / (scale[k] ** 2 + errors)).sum(1) / 2
        - np.log(2 * np.pi * (scale[k] ** 2 + errors)).sum(1) / 2
        for k in range(3)
    ]
    assert float(log_density(tree).sum()) > np.log(np.exp(by_cluster).mean(0)).sum()
