"""Variational Bayes: the bound is what its definition says, over blocks too, and in one pass."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random

from ppl_models import catalogue, fit, log_density, open_blocks
from ppl_models.distributions import conditionals as of
from ppl_models.distributions.priors.rate import GeneralizedInverseGaussian
from ppl_models.distributions.priors.scales_and_blocks import BlockDirichlet, InverseGammaScale
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.inference.variational.loop import Updates, run_variational, sites_of
from ppl_models.inference.variational.result import _drawn
from ppl_models.program.reading import read_data, read_program

GENERATOR = np.random.default_rng(0)
GROUP = GENERATOR.integers(0, 2, 40)
REALS = 3.0 * GROUP[:, None] + GENERATOR.normal(size=(40, 2))
CATEGORIES = [[str(v) for v in row] for row in GENERATOR.integers(0, 3, (40, 2)) + GROUP[:, None]]
DRAWS = 4000


def density_of(q: Any) -> Any:
    """The same distribution in NumPyro's words."""
    match q:
        case of.DirichletConditional():
            return dist.Dirichlet(q.concentration)
        case of.BlockDirichletConditional():
            return BlockDirichlet(q.concentration, q.blocks)
        case of.BetaConditional():
            return dist.Beta(q.ones, q.zeros)
        case of.GammaConditional():
            return dist.Gamma(q.concentration, q.rate)
        case of.InverseGammaScaleConditional():
            return InverseGammaScale(q.concentration, q.rate)
        case of.InverseWishartConditional():
            return dist.InverseWishart(q.concentration, scale_matrix=q.scale_matrix)
        case of.RateConditional():
            (order,) = np.unique(q.order)
            return GeneralizedInverseGaussian(float(order), q.rate, q.barrier)
        case of.NormalConditional():
            return dist.Normal(q.mean, q.precision**-0.5)
    return dist.MultivariateNormal(q.mode(), precision_matrix=q.precision)


def gaussian(covariance: str, *, long: bool = False, rows: Any = REALS) -> Any:
    marks = [pytest.mark.long] if long else []  # (formulas that the others have too)
    name = covariance if rows is REALS else "one feature"
    return pytest.param("gaussian_mixture", rows, {"covariance": covariance}, id=name, marks=marks)


@pytest.mark.parametrize(
    ("program", "rows", "arguments"),
    [
        gaussian("spherical"),
        gaussian("full"),
        gaussian("diagonal", long=True),
        gaussian("tied", long=True),
        gaussian("full", long=True, rows=REALS[:, 0]),
        pytest.param("poisson_mixture", GENERATOR.poisson(2 + 4 * GROUP), {}, id="counts"),
        pytest.param(
            "bernoulli_mixture", (REALS > 1).astype(int), {}, id="bits", marks=pytest.mark.long
        ),
        pytest.param("categorical_mixture", CATEGORIES, {}, id="categories"),
    ],
)
@pytest.mark.usefixtures("double_precision")
def test_the_bound_is_that_of_its_definition(program, rows, arguments) -> None:
    """E[log p(x, z, θ)] - E[log q(z) q(θ)], by draws of θ, and it never falls."""
    function = catalogue.program(program)
    own = {"clusters": 2, **arguments}
    problem = Problem(*read_program(function, read_data(function, rows), own, {}, "float64"))
    model, structure = problem.program
    links, free = conjugate_sites(model, structure, problem.parameter_map, problem.chunks)
    start, _ = starting_values(problem, links, free, random.key(0), 1, flat=False)
    runs = run_variational(problem, start, links=links, free=free, iterations=4, tolerance=0.0)
    assert (np.diff(runs.objective[0]) > -1e-9).all()
    values = {n: v[0] for n, v in runs.values.items()}
    # of the plug-in values that the last update left: an iteration more tells their bound
    again = run_variational(problem, start, links=links, free=free, iterations=5, tolerance=0.0)
    bound = again.objective[0, 4]
    posterior = Updates(problem, links, 40.0).posterior(values)
    proportions = jax.nn.softmax(model.logits(sites_of(values), structure), 0)

    @jax.jit
    @jax.vmap
    def inner(sites: Any) -> Any:
        joint = (proportions * (model.logits(sites, structure) - jnp.log(proportions))).sum()
        prior = model.log_prior(sites, structure)
        return (
            joint
            + prior
            - sum(density_of(q).log_prob(sites[n]).sum() for n, q in posterior.items())
        )

    drawn = inner(_drawn(posterior, random.split(random.key(1), DRAWS)))
    error = float(drawn.std()) / DRAWS**0.5
    assert 1e-6 < error < 0.5
    assert abs(float(drawn.mean()) - bound) < 4.5 * error


COUNTS = GENERATOR.poisson(np.array([[2, 9], [8, 3]])[GENERATOR.integers(0, 2, 12_000)])
OPTIONS = {"seed": 0, "clusters": 2, "predictive": 0, "starts": 2}


def test_variational_bayes_over_blocks_and_by_steps_comes_to_that_in_memory() -> None:
    memory = fit("poisson_mixture", COUNTS, method="vb", **OPTIONS)
    blocks = fit("poisson_mixture", open_blocks(COUNTS, rows=1700), method="vb", **OPTIONS)
    np.testing.assert_allclose(
        blocks["starts"]["objective"], memory["starts"]["objective"], rtol=1e-12
    )
    np.testing.assert_allclose(blocks["posterior"]["rate"], memory["posterior"]["rate"], rtol=1e-9)
    assert memory["posterior"].sizes["draw"] == 250
    best = memory.attrs["evidence_bound"]
    several = fit("poisson_mixture", COUNTS, method="stochastic_vb", batch_size=1000, **OPTIONS)
    assert abs(several.attrs["evidence_bound"] - best) < 1e-7 * abs(best)


@pytest.mark.parametrize("method", ["stochastic_vb", "stochastic_em"])
def test_one_pass_predicts_as_batch_em_does(method: str) -> None:
    new = COUNTS[:3000]
    rows = open_blocks(COUNTS[3000:], rows=1700)
    batch = fit("poisson_mixture", rows, method="em", **OPTIONS)
    once = fit("poisson_mixture", rows, method=method, batch_size=500, iterations=1, **OPTIONS)
    short = log_density(batch, new).values.mean() - log_density(once, new).values.mean()
    assert abs(short) < 1e-3


@pytest.mark.parametrize(
    ("options", "rows", "match"),
    [
        ({"weight_prior": "stick_breaking"}, REALS, "not conjugate"),
        (
            {"covariance": "VEI"},
            REALS,
            "ShapedGaussian, which states no plug-in value of its parameter 'axis_shape'",
        ),
        ({}, np.where(REALS > 4, np.nan, REALS), "has missing cells"),
        ({"fixed": {"weights": [0.5, 0.5]}}, REALS, "weights of the clusters are no site"),
    ],
)
def test_other_programs_are_refused(options: Any, rows: Any, match: str) -> None:
    with pytest.raises(UnsupportedError, match=match):
        fit("gaussian_mixture", rows, method="vb", seed=0, clusters=2, **options)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"draws \(0\)"):
        fit("poisson_mixture", COUNTS[:9], method="vb", draws=0, **OPTIONS)
    with pytest.raises(InputError, match=r"above 0\.5 and at most 1"):
        fit("poisson_mixture", COUNTS[:9], method="stochastic_vb", exponent=0.5, **OPTIONS)
