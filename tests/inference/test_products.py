"""Passes and updates of every program multiply with all the bits that single precision has."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from traced_products import products_of

from ppl_models import catalogue
from ppl_models.inference.gradient.steps import row_log_densities
from ppl_models.inference.kmeans.spheres import log_density
from ppl_models.inference.mcmc.marginal_density import ROWS_FACTOR, marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_and_sum
from ppl_models.inference.statistics.e_step import e_step, hard
from ppl_models.inference.statistics.m_step import conjugate_sites, maximise
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import cast, scope


def _problem(function, data, arguments=None):
    data = {n: cast(np.asarray(v), "float32") for n, v in data.items()}
    arguments = {
        n: jnp.asarray(v, jnp.float32) if getattr(v, "dtype", None) == np.float64 else v
        for n, v in (arguments or {}).items()
    }
    model = Model(function, data, arguments, {})
    return Problem(model, model.structure())


def _check(function, values):
    actual, short = products_of(function, values)
    assert not short, "\n".join(short)
    return actual


def test_products_of_every_program_have_all_bits(built_in):
    with jax.enable_x64(False):  # not within the scope of a call, which would see to it by itself
        function = catalogue.program(built_in.name)
        problem = _problem(function, {built_in.site: built_in.data}, built_in.arguments)
        model, structure = problem.model, problem.structure
        values = structure.initial(random.key(0))
        if built_in.point != "em":
            data = {n: jnp.asarray(v) for n, v in model.data.items()}

            def loss(values):
                return row_log_densities(model, structure, values, data).sum()

            _check(jax.value_and_grad(loss), values)
            return
        chunks = problem.chunks
        links, free = conjugate_sites(model, structure, problem.parameter_map, chunks)

        def iteration(values):
            pieces = model.pieces(values, structure)
            best = e_step(pieces, structure, chunks, hard)
            expected = e_step(pieces, structure, chunks)
            return best, maximise(model, structure, links, free, values, expected, chunks)

        def sweep(values):
            return draw_and_sum(
                random.key(0), model.pieces(values, structure), structure, chunks, keep=True
            )

        def density(values):
            held = numpyro.handlers.substitute(marginal_program(problem), data=values)
            trace = numpyro.handlers.trace(numpyro.handlers.seed(held, 0)).get_trace()
            return trace[ROWS_FACTOR]["fn"].log_factor

        for program in (iteration, sweep, jax.value_and_grad(density)):
            _check(program, values)


def _regressions(x=None, y=None):
    """Mixture of regressions: a product of the program's own, and NumPyro's densities."""
    slope = numpyro.sample("slope", dist.Normal(jnp.zeros((3, 2)), 1.0).to_event(2))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(jnp.full(2, 0.5)), infer={"enumerate": "parallel"})
        means = x @ slope
        loc = jnp.where(z == 0, means[:, 0], means[:, 1])
        numpyro.sample("y", dist.MultivariateNormal(loc[..., None], jnp.eye(1)), obs=y)


def test_products_of_a_persons_own_program_have_all_bits():
    x, y = np.arange(12.0).reshape(4, 3), np.ones((4, 1))
    with scope("float32"):
        problem = _problem(_regressions, {"y": y}, {"x": x})
        values = problem.structure.initial(random.key(0))
        data = {"y": jnp.asarray(y, jnp.float32)}

        def density(values):
            return row_log_densities(problem.model, problem.structure, values, data).sum()

        assert _check(jax.value_and_grad(density), values)


@pytest.mark.parametrize("chosen", [None, "tensorfloat32"])
def test_a_chosen_precision_of_products_stays_and_none_is_switched(chosen):
    def product(x):
        return x @ x

    with jax.default_matmul_precision(chosen):
        with scope("float32"):
            actual, short = products_of(product, jnp.eye(2))
        assert actual == 1 and bool(short) == (chosen is not None)
        assert jax.config.jax_default_matmul_precision == chosen


def test_products_of_k_means_assignments_have_all_bits():
    from ppl_models.distributions import SphericalGaussian

    with scope("float32"):
        sphere = SphericalGaussian(jnp.ones((9, 8)), jnp.ones(9))
        assert _check(lambda rows: log_density(sphere, rows, jnp.zeros(8)), jnp.ones((5, 8)))
