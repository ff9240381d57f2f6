"""Sums over as many chunks as 10⁸ rows have, in single precision."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.distributions.convert import as_family
from ppl_models.inference.mcmc.marginal_density import one_pass_density, reference_point_at
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, Part, over_chunks
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model

CHUNKS = 20_000  #: of 5,000 rows each


def test_sums_of_chunks_keep_the_digits_of_single_precision():
    counts = np.full((CHUNKS, 1), 5_000.0, np.float32) - np.float32(0.3)
    part = Part({"x": jnp.asarray(counts)}, jnp.ones((CHUNKS, 1), bool))
    chunks = Chunks((part,), jnp.arange(CHUNKS), {"x": jnp.zeros(())}, (("x", False),))
    with jax.enable_x64(False):
        total, _ = jax.jit(
            lambda c: over_chunks(lambda arrays, *_: ((arrays["x"].sum(), jnp.ones(2, int)), ()), c)
        )(chunks)
    exact, plain = counts.sum(dtype=np.float64), np.float32(0)
    for count in counts[:, 0]:
        plain = np.float32(plain + count)
    assert abs(total[0] - exact) <= np.spacing(np.float32(exact))
    assert abs(plain - exact) > 100 * np.spacing(np.float32(exact))
    np.testing.assert_array_equal(total[1], CHUNKS)


def test_two_points_are_told_apart_by_the_rows_of_many_chunks():
    """The rows of 10⁶, ten times over, by the passes that samplers run."""
    generator, times = np.random.default_rng(0), 10
    x = np.where(generator.random(1_000_000) < 0.3, 5.0, -5.0) + generator.normal(size=1_000_000)
    x = x.astype(np.float32)
    near = {"weights": np.array([0.3, 0.7]), "loc": np.array([5.0, -5.0]), "scale": np.ones(2)}
    moved = {**near, "loc": near["loc"] + [2e-3, -1e-3], "scale": near["scale"] + [5e-4, 1e-3]}

    def heights(precision: str, repeats: int) -> np.ndarray:
        with jax.enable_x64(precision == "float64"):
            arguments = {"clusters": 2, "scale_rate": 1.0}
            model = Model(gaussian_mixture, {"x": x.astype(precision)}, arguments, {})
            problem = Problem(model, model.structure())
            points = [{n: v.astype(precision) for n, v in p.items()} for p in (near, moved)]
            (part,) = problem.chunks.parts
            again = jax.tree.map(lambda v: jnp.concatenate([v] * repeats), part)
            problem = replace(problem, prepared=replace(problem.chunks, parts=(again,)))
            reference = reference_point_at(problem, points[0])
            density = one_pass_density(problem, reference)

            @jax.jit
            def height(point):
                pieces = model.pieces(point, problem.structure)
                return density(
                    pieces.log_weights, {n: as_family(e) for n, e in pieces.emissions.items()}
                )

            return np.array([float(height(p)) for p in points])

    exact = times * np.diff(heights("float64", 1))[0]
    assert 0.5 < abs(exact) < 50
    assert abs(np.diff(heights("float32", times))[0] - exact) < 0.05 * abs(exact)
