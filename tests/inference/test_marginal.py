"""The density that samplers see: value and gradient by one pass, also of very many rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from jax.scipy.special import logsumexp
from numpyro.infer.util import log_density as joint_density

from ppl_models import catalogue
from ppl_models.inference.mcmc.marginal_density import marginal_program, reference_point_at
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import coefficients, row_normalisers
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(
    "label", ["gaussian_mixture full", "gaussian_mixture diagonal", "categorical_mixture"]
)
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_gradient_is_that_of_the_density_written_out(built_ins, label, gaps):
    row = built_ins[label]
    data = np.asarray(row.data, float) if gaps else row.data
    if gaps:
        data = data.copy()
        data[[0, 2], [0, 1]] = np.nan
    model = Model(
        catalogue.program(row.name), {row.site: data}, {**row.arguments, **row.interior}, {}
    )
    problem = Problem(model, model.structure())
    structure, program = problem.structure, marginal_program(problem)

    def written_out(free):
        values = structure.space.constrain(free)
        rows = logsumexp(model.logits(values, structure), axis=0).sum()
        return rows + model.pieces(values, structure).log_prior

    def by_one_pass(free):
        return joint_density(program, (), {}, structure.space.constrain(free))[0]

    @jax.jit
    def both(key):
        free = structure.space.unconstrain(structure.initial(key))
        return jax.value_and_grad(by_one_pass)(free), jax.value_and_grad(written_out)(free)

    actual, expected = both(random.key(2))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8), actual, expected
    )


ROWS = 1_000_000


def test_a_million_rows_in_single_precision_are_told_apart():
    """Of two nearby points, by how much the log-density differs.

    That difference decides whether a proposal is accepted, and has to be right to some hundredths.
    Summed as it stands, the log-density of 2·10⁶ has no digit left behind the point.
    """
    generator = np.random.default_rng(0)
    x = np.where(generator.random(ROWS) < 0.3, 5.0, -5.0) + generator.normal(size=ROWS)
    x = x.astype(np.float32)
    near = {"weights": np.array([0.3, 0.7]), "loc": np.array([5.0, -5.0]), "scale": np.ones(2)}
    near["scale_rate"] = np.array(1.0)
    moved = {**near, "loc": near["loc"] + [3e-3, -2e-3], "scale": near["scale"] + [1e-3, 2e-3]}

    def heights(precision, relative):
        dtype = np.dtype(precision)
        with jax.enable_x64(precision == "float64"):
            model = Model(gaussian_mixture, {"x": x.astype(dtype)}, {"clusters": 2}, {})
            problem = Problem(model, model.structure())
            points = [{n: v.astype(dtype) for n, v in p.items()} for p in (near, moved)]
            reference = reference_point_at(problem, points[0]) if relative else None
            assert (reference is None) == (precision == "float64" or not relative)
            program = marginal_program(problem, reference)
            height = jax.jit(lambda p: joint_density(program, (), {}, p)[0])
            actual = [height({n: jnp.asarray(v) for n, v in p.items()}) for p in points]
            assert actual[0].dtype == dtype
            return np.asarray(actual, np.float64)

    exact = np.diff(heights("float64", True))[0]
    assert 1 < abs(exact) < 100
    error = abs(np.diff(heights("float32", True))[0] - exact)
    as_it_stands = abs(np.diff(heights("float32", False))[0] - exact)
    assert error < 0.02, error
    assert error < as_it_stands


@pytest.mark.usefixtures("double_precision")
def test_rows_of_chunks_come_back_in_their_order(built_ins):
    row = built_ins["gaussian_mixture diagonal"]
    model = Model(
        catalogue.program(row.name), {row.site: row.data}, {**row.arguments, **row.interior}, {}
    )
    problem = Problem(model, model.structure())

    @jax.jit
    def both(key, chunks):
        values = problem.structure.initial(key)
        pieces = model.pieces(values, problem.structure)
        point = coefficients(pieces.log_weights, pieces.families(), chunks)
        expected = logsumexp(model.logits(values, problem.structure), axis=0)
        return row_normalisers(point, chunks), expected

    actual, expected = both(random.key(0), problem.chunks)
    np.testing.assert_allclose(problem.chunks.in_order(actual), expected, rtol=1e-12)
