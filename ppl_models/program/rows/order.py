"""Whether a row's density depends on its place among the rows, or on the other rows.

It does in a program that numbers its rows (``jnp.arange(n)``), holds an array with an entry per
row, or centres a covariate by the mean of the rows it is given. The test evaluates a few rows
twice, among other rows and in another order.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import catalogue
from ppl_models.program.densities.local_densities import dimension, row_log_joint
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace.structure import Structure

FEW = 8  #: rows that are asked about
PLACES = "the density of a row of this program depends on its place or on the other rows"
SEVERAL_CELLS = "rows of this program have cells behind an index array or in an inner plate"
ADVICE = (
    "give what differs from row to row to the program as data, as a parameter before the *, which "
    "new rows then come with"
)


def rows_depend_on_places(model: Model, structure: Structure) -> bool:
    """Whether a row's density depends on its place among the rows, or on the other rows.

    The programs of this package are known not to. Where rows have continuous sites of their own,
    the joint density with these at some values is compared.

    >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> def trend(x=None):
    ...     slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("row", len(x)):
    ...         numpyro.sample("x", dist.Normal(slope * jnp.arange(len(x)), 1.0), obs=x)
    >>> model = Model(trend, {"x": np.zeros(20)}, {}, {})
    >>> rows_depend_on_places(model, model.structure())
    True
    """
    function = model.function
    if catalogue.is_built_in(function) and not hasattr(function, "__wrapped__"):
        return False
    if structure.rows < 2:
        return False
    if structure.indexed or structure.given_locals:  # which have a value for each row in its place
        return True
    few = min(FEW, structure.rows // 2)
    values = structure.initial(make_key(4))
    other = np.r_[np.arange(few, 2 * few), np.arange(few)[::-1]]
    parts = attempted(
        lambda: [
            np.asarray(_logits(_taken(model, rows), values, structure=_of(structure, rows)))
            for rows in (np.arange(few), other)
        ]
    )
    if parts is None:
        return True
    alone, among = parts
    tolerance = 1e-4 if alone.dtype == np.float32 else 1e-7
    again = among[:, few:][:, ::-1]
    return not np.allclose(alone, again, rtol=tolerance, atol=tolerance, equal_nan=True)


def _taken(model: Model, rows: np.ndarray) -> Model:
    return model.with_data({n: np.asarray(v)[rows] for n, v in model.data.items()})


def _of(structure: Structure, rows: np.ndarray) -> Structure:
    return replace(structure, rows=len(rows))


@quickly(static=("structure",))
def _logits(model: Model, values: Globals, *, structure: Structure) -> Array:
    if not structure.locals:
        return model.logits(values, structure)
    first = jnp.zeros(structure.rows, int)
    vectors = jnp.full((structure.rows, dimension(structure)), 0.3)
    return row_log_joint(model, values, structure, vectors, first)[None]
