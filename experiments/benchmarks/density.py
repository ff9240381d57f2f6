"""Value and gradient of an enumerated mixture against NumPyro's own distributions.

Ours twice: the density that ``method="nuts"`` moves on (the program's assignments summed out in one
pass), and NumPyro's own enumeration of the same program, which differs from the peer's in the
emission alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.infer.util import initialize_model

from ppl_models.distributions import SphericalGaussian
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

from .timing import Row, a_call, paired

SIZES = ((20_000, 16, 8, "10"), (20_000, 64, 16, "50"))


def standard(loc: Any, scale: Any) -> Any:
    """NumPyro's own emission."""
    return dist.Normal(loc, scale[..., None]).to_event(1)


def program(x: Any, clusters: int, emission: Callable) -> None:
    """A spherical Gaussian mixture."""
    features = x.shape[1]
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(jnp.zeros(features), 3).to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(1))
    with numpyro.plate("row", x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", emission(loc[z], scale[z]), obs=x)


def evaluator(program: Callable, *arguments: Any) -> tuple[Callable, Any]:
    """A compiled value and gradient, and where to take it."""
    initial = initialize_model(random.key(0), program, model_args=arguments, validate_grad=False)
    return jax.jit(jax.value_and_grad(initial.potential_fn)), initial.param_info.z


def summed_out(x: np.ndarray, clusters: int) -> Callable:
    """The same program as the sampler sees it."""
    arguments = {"clusters": clusters, "emission": SphericalGaussian}
    model = Model(program, {"x": x}, arguments, {})
    return marginal_program(Problem(model, model.structure()))


def run() -> list[Row]:
    """All sizes, float32."""
    rows = []
    for count, features, clusters, aim in SIZES:
        generator = np.random.default_rng(0)
        centres = generator.normal(size=(clusters, features)) * 3
        x = centres[generator.integers(0, clusters, count)] + generator.normal(
            size=(count, features)
        )
        x = x.astype(np.float32)
        theirs, at = evaluator(program, x, clusters, standard)
        sides = {
            "density of nuts": evaluator(summed_out(x, clusters))[0],
            "NumPyro's enumeration": evaluator(program, x, clusters, SphericalGaussian)[0],
        }

        def repeat(function: Callable, at: Any = at) -> Callable[[], float]:
            return lambda: a_call(lambda: jax.block_until_ready(function(at)))

        for name, ours in sides.items():
            value, expected = float(ours(at)[0]), float(theirs(at)[0])
            assert abs(value - expected) < 1e-5 * abs(expected), (value, expected)
            row = paired(
                f"value and gradient, {name}, {count:,} × {features}, K={clusters}",
                repeat(ours),
                repeat(theirs),
                f"≥ {aim}",
            )
            rows.append(row)
    return rows
