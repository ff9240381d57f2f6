"""Names of a user's sites and plates: any serves that a fit does not need for itself."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, generate, log_density, predict
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.model import Model

X = np.concatenate([np.linspace(-5, -3, 30), np.linspace(3, 5, 30)])
SHORT = {"warmup": 20, "draws": 20, "chains": 1}


def _program(rows: str = "data", z: str = "z", loc: str = "mu", by: str = "k") -> Callable:
    def program(x=None, *, n=60):
        weights = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
        with numpyro.plate(by, 2):
            mu = numpyro.sample(loc, dist.Normal(0, 10))
        with numpyro.plate(rows, n):
            numpyro.sample("x", dist.Normal(mu[numpyro.sample(z, dist.Categorical(weights))], 1.0),
                           obs=x)  # fmt: skip

    return program


@pytest.mark.parametrize(("method", "more"), [("em", {"starts": 1}), ("nuts", SHORT)])
def test_a_plate_may_be_called_as_the_rows_of_a_density(method, more):
    tree = fit(_program("rows", "cluster"), X, method=method, seed=0, predictive=0, **more)
    means = np.sort(tree["posterior/mu"].mean(("chain", "draw")).values)
    np.testing.assert_allclose(means, [-4, 4], atol=0.5)
    assert tree["observed_data/x"].dims == ("rows",)


def test_the_number_of_rows_may_be_an_argument():
    """A plate of so many rows: that of the new rows where these are asked about."""
    tree = fit(_program(), X, method="em", seed=0, starts=1, predictive=0)
    complete = log_density(tree)
    np.testing.assert_allclose(log_density(tree, X[:5]), complete[:5], rtol=1e-9)
    np.testing.assert_allclose(predict(tree, X[:1]), predict(tree)[:1], rtol=1e-9)
    assert generate(tree, 70, seed=0).sizes["data"] == 70


@pytest.mark.parametrize("rows", [X[:5], np.concatenate([X, X]), X[:1]])
def test_a_plate_of_another_size_than_the_data_is_refused(rows):
    model = Model(_program(), {"x": jnp.asarray(rows)}, {}, {})
    with pytest.raises(InputError, match=f"{len(rows)} entries.*plate 'data' has 60.*x.shape"):
        model.structure()
    assert Model(_program(), {"x": jnp.asarray(rows)}, {"n": len(rows)}, {}).structure()


@pytest.mark.parametrize(
    "names",
    [{"rows": "cluster"}, {"rows": "chain"}, {"rows": "draw"}, {"by": "draw"},
     {"loc": "objective"}, {"loc": "assignment"}],
)  # fmt: skip
def test_a_name_that_a_fit_needs_is_refused_and_another_serves(names):
    ((what, name),) = names.items()
    model = Model(_program(**names), {"x": jnp.asarray(X)}, {}, {})
    with pytest.raises(UnsupportedError, match=f"'{name}'.*such as '{name}_'"):
        model.structure()
    assert Model(_program(**{what: f"{name}_"}), {"x": jnp.asarray(X)}, {}, {}).structure()


@pytest.mark.parametrize("rows", ["cluster", "state"])
def test_rows_may_be_called_cluster_or_state_where_none_are_hidden(rows):
    def program(y=None, *, levels=30):
        mu = numpyro.sample("mu", dist.Normal(0, 10))
        with numpyro.plate(rows, levels):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    tree = fit(program, X[:30], method="em", seed=0, predictive=0)
    assert log_density(tree, X[30:35]).sizes == {rows: 5}
    assert tree["observed_data/y"].dims == (rows,)
