"""All K^N assignments at small size: the sums and maxima of every mixture, by enumeration."""

from __future__ import annotations

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.infer.util import log_density as joint_density

from ppl_models import catalogue
from ppl_models.inference.mcmc.marginal_density import ROWS_FACTOR, marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import cut
from ppl_models.inference.statistics.e_step import e_step, hard, soft
from ppl_models.program.model import Model

ROWS = 5
pytestmark = pytest.mark.usefixtures("double_precision")


def _problem(row, rows=ROWS):
    model = Model(catalogue.program(row.name), {row.site: row.data[:rows]}, row.arguments, {})
    return Problem(model, model.structure())


def test_sums_and_maxima_over_all_assignments(mixture):
    problem = _problem(mixture)
    model, structure = problem.model, problem.structure
    every = jnp.array(list(product(range(structure.clusters), repeat=ROWS)))
    complete = problem.chunks
    pieces_of_two = cut(model.data, problem.families, chunk_rows=2)  # the last chunk is padded

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def both(key):
        values = structure.initial(key)
        pieces = model.pieces(values, structure)
        passes = [
            e_step(pieces, structure, chunks, assign)
            for chunks in (complete, pieces_of_two)
            for assign in (soft, hard)
        ]

        def joint(z):  # by NumPyro, with its own distributions
            kwargs = {mixture.site: mixture.data[:ROWS], **mixture.arguments}
            return joint_density(mixture.standard, (), kwargs, {**values, "z": z})[0]

        return passes, jax.lax.map(joint, every), pieces.log_prior

    passes, joints, log_prior = both(random.key(3))
    proportion = np.exp(joints - logsumexp(joints))
    held = np.stack([(np.asarray(every) == k).sum(1) for k in range(structure.clusters)], 1)
    for summed, best in (passes[:2], passes[2:]):
        np.testing.assert_allclose(summed.log_normaliser + log_prior, logsumexp(joints), rtol=1e-10)
        np.testing.assert_allclose(summed.counts, proportion @ held, rtol=1e-10)
        np.testing.assert_allclose(best.log_normaliser + log_prior, joints.max(), rtol=1e-10)
        np.testing.assert_array_equal(best.counts, held[np.argmax(joints)])
    for one, other in (passes[::2], passes[1::2]):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
            one.statistics,
            other.statistics,
        )


@pytest.mark.parametrize("label", ["gaussian_mixture full", "markov_chain"])
def test_program_for_samplers_has_the_marginal_density(built_ins, label):
    """By rows where something is assigned, by statistics where nothing is."""
    row = built_ins[label]
    problem = _problem(row, len(row.data))
    model, structure = problem.model, problem.structure
    program = marginal_program(problem)

    @jax.jit
    def both(key):
        values = structure.initial(key)
        expected = logsumexp(model.logits(values, structure), axis=0).sum()
        prior = model.pieces(values, structure).log_prior
        return joint_density(program, (), {}, values)[0], expected + prior

    np.testing.assert_allclose(*both(random.key(1)), rtol=1e-10)
    drawn = set()

    def run(key):
        sites = handlers.trace(handlers.seed(program, key)).get_trace()
        drawn.update(n for n, site in sites.items() if site["type"] == "sample")

    jax.eval_shape(run, random.key(0))  # the names need no numbers
    assert drawn == {*row.sites, ROWS_FACTOR}
