"""The density at given assignments: that of NumPyro, without a matrix for every row."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density

from ppl_models.inference.rowwise.m_step import expected_log_joint
from ppl_models.program.model import Model
from ppl_models.program.runtime.keys import make_key

ROWS, FEATURES = 37, 3
_g = np.random.default_rng(6)
U = _g.normal(size=ROWS)
X = _g.normal(0, 2, (ROWS, FEATURES))
GAPS = X.copy()
GAPS[[0, 3, 3, 8, 8, 8], [1, 0, 2, 0, 1, 2]] = np.nan
CODES = _g.integers(0, 4, (ROWS, FEATURES))


def _normal(loc, own):
    return dist.MultivariateNormal(loc, own["covariance"])


def _low_rank(loc, own):
    return dist.LowRankMultivariateNormal(loc, own["loadings"], own["variance"])


def _program(emission, *, by_row=False, factor=None):
    """Clusters whose weights depend on a covariate, with all parameters that an emission takes."""

    def program(u, x=None, *, clusters):
        slope = numpyro.sample("slope", dist.Normal(0, 1).expand([clusters]).to_event(1))
        own = {}
        with numpyro.plate("cluster", clusters):
            loc = numpyro.sample("loc", dist.Normal(0, 5).expand([FEATURES]).to_event(1))
            if emission is _normal:
                prior = dist.InverseWishart(FEATURES + 2.0, scale_matrix=jnp.eye(FEATURES))
                own["covariance"] = numpyro.sample("covariance", prior)
            elif emission is _low_rank:
                prior = dist.Normal(0, 1).expand([FEATURES, 2]).to_event(2)
                own["loadings"] = numpyro.sample("loadings", prior)
                prior = dist.InverseGamma(2, 1).expand([FEATURES]).to_event(1)
                own["variance"] = numpyro.sample("variance", prior)
            elif emission is _codes:
                prior = dist.Dirichlet(jnp.ones(4)).expand([FEATURES]).to_event(1)
                own["probs"] = numpyro.sample("probs", prior)
        with numpyro.plate("row", len(u)):
            logits = u[:, None] * slope
            z = numpyro.sample("z", dist.Categorical(logits=logits), infer=PARALLEL)
            at = loc[z] * u[:, None] if by_row else loc[z]
            distribution = emission(at, {n: v[z] for n, v in own.items()})
            if factor is None:
                return numpyro.sample("x", distribution, obs=x)
            with numpyro.handlers.scale(scale=factor):
                return numpyro.sample("x", distribution, obs=x)

    return program


def _codes(loc, own):
    return dist.Categorical(own["probs"]).to_event(1)


def _normals(loc, own):
    return dist.Normal(loc, 1.5).to_event(1)


PARALLEL = {"enumerate": "parallel"}
#: program, data, clusters, what every row has of a matrix in the compiled density
PROGRAMS = {
    "covariances": (_program(_normal), X, 3, False),
    "covariances, gaps": (_program(_normal), GAPS, 3, None),
    "covariances, scaled": (_program(_normal, factor=0.5), X, 3, False),
    "covariances of regressions": (_program(_normal, by_row=True), X, 3, False),
    "covariances of regressions, gaps": (_program(_normal, by_row=True), GAPS, 3, None),
    "covariances, many clusters": (_program(_normal), X, 7, True),
    "low rank": (_program(_low_rank), X, 3, False),
    "low rank, gaps": (_program(_low_rank), GAPS, 3, None),
    "low rank of regressions": (_program(_low_rank, by_row=True), X, 3, False),
    "codes": (_program(_codes), CODES, 3, None),
    "normals": (_program(_normals), X, 3, None),
    "normals, gaps": (_program(_normals), GAPS, 3, None),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_density_at_given_clusters_is_that_of_one_hot_weights_and_of_numpyro(name):
    program, x, clusters, matrices = PROGRAMS[name]
    with jax.enable_x64(True):
        model = Model(program, {"u": U, "x": x}, {"clusters": clusters}, {})
        structure = model.structure()
        values = structure.initial(make_key(2))
        z = jnp.asarray(_g.integers(0, clusters, ROWS))
        one_hot = (z == jnp.arange(clusters)[:, None]).astype(float)

        @jax.jit
        @jax.value_and_grad
        def at_clusters(values, model):
            return model.log_joint_given(values, structure, z)

        @jax.jit
        @jax.value_and_grad
        def weighed(values, model):
            return expected_log_joint(model, structure, values, one_hot, flat=False)

        actual, expected = at_clusters(values, model), weighed(values, model)
        for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            close = 1e-12 * np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=close)
        if not np.isnan(x).any():
            arguments = (U, jnp.asarray(x)), {"clusters": clusters}, {**values, "z": z}
            numpyros = log_density(program, *arguments)[0]
            np.testing.assert_allclose(actual[0], numpyros, rtol=1e-10)
        if matrices is not None:
            # (of known data, for which no branch provides for gaps)
            known = jax.jit(lambda values: model.log_joint_given(values, structure, z))
            compiled = known.lower(values).compile().as_text()
            a_row = {3: f"[{ROWS},{FEATURES},{FEATURES}]", 2: f"[{ROWS},{FEATURES},2]"}
            assert any(shape in compiled for shape in a_row.values()) == matrices
