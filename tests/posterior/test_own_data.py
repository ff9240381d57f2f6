"""New data are refused where running the program without data would draw them from elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from ppl_models.data import Bits, Reals
from ppl_models.errors import UnsupportedError
from ppl_models.inference.problem import Problem
from ppl_models.posterior.simulate.predictive import refuse_undrawable
from ppl_models.program.reading import read_data, read_program

X = np.array([0.0, 1.0, 2.0, 0.0])
Y = np.array([0.5, 2.0, 4.5, 0.1])


def problem(program, data):
    return Problem(*read_program(program, read_data(program, data), {}, {}, "float64"))


def tobit(y: Annotated[Any, Reals] = None):
    """Censored where the value itself says so."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.LeftCensoredDistribution(dist.Normal(loc, 1.0), y <= 0), obs=y)


def told(y: Annotated[Any, Reals] = None, gone: Annotated[Any, Bits] = None):
    """Censored where another column says so."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.LeftCensoredDistribution(dist.Normal(loc, 1.0), gone), obs=y)


def by_parameter(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None):
    """The second site's mean is computed from the data of the first."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
        numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def by_value(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None):
    """... from the value that the first site returns."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        value = numpyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
        numpyro.sample("y", dist.Normal(slope * value, 1.0), obs=y)


def covariate(x: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None):
    """... from data that no site emits."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def positive_only(y: Annotated[Any, Reals] = None):
    """A mask that chooses by the value."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)), handlers.mask(mask=y > 0):
        numpyro.sample("y", dist.Normal(loc, 1.0), obs=y)


def where_seen(y: Annotated[Any, Reals] = None):
    """A mask of missing cells."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)):
        seen = ~jnp.isnan(y)
        numpyro.sample("y", dist.Normal(loc, 1.0).mask(seen), obs=jnp.where(seen, y, 0.0))


def one_after_the_other(y: Annotated[Any, Reals] = None):
    """The later values' means are computed from the earlier ones."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("step", len(y) - 1):
        numpyro.sample("later", dist.Normal(slope * y[:-1], 1.0), obs=y[1:])


@pytest.mark.parametrize(
    ("program", "data", "message"),
    [
        (tobit, {"y": X}, "site 'y' is computed from the data 'y', which it emits itself"),
        (by_parameter, {"x": X, "y": Y}, "'y' is computed from the data 'x', which the program"),
        (one_after_the_other, {"y": X}, "'later' is computed from the data 'y', which the program"),
        (positive_only, {"y": X}, "a mask that is computed from the data 'y' hides cells"),
    ],
)
def test_refused(program, data, message):
    with pytest.raises(UnsupportedError, match=message):
        refuse_undrawable(problem(program, data), "new data")


def test_the_ways_out_and_what_was_right_before():
    for program, data in (
        (told, {"y": X, "gone": (X == 0).astype(int)}),
        (by_value, {"x": X, "y": Y}),
        (covariate, {"x": X, "y": Y}),
        (where_seen, {"y": np.where(X == 1, np.nan, X)}),
    ):
        read = problem(program, data)
        assert read.own_data is None
        refuse_undrawable(read, "new data")
    read = problem(by_parameter, {"x": X, "y": Y})
    assert read.own_data is not None and not read.own_data.itself
    refuse_undrawable(read, "filling", observed=True)
