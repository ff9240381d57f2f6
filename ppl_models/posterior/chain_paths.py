"""State paths of a program's own chain of discrete sites, see ``program.chains``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ppl_models.posterior.density.prediction import cluster_probabilities
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.program.chains.chain_densities import best_states, draw_assignments, hidden_steps
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.trace.structure import Structure


def state_probabilities(fitted: RestoredFit, *, by_draw: bool) -> xr.DataArray:
    """Smoothed probabilities ``([series,] step, state)``, chain and draw before if ``by_draw``."""
    probabilities = cluster_probabilities(fitted, by_draw=by_draw)
    return probabilities.rename(cluster="state").rename("state_probabilities")


def best_paths(fitted: RestoredFit, values: Mapping[str, Any]) -> xr.DataArray:
    """The most probable path at given values of the global sites, ``([series,] step)``."""
    held = {n: jnp.asarray(v) for n, v in values.items()}
    path = np.asarray(_best(fitted.model, held, structure=fitted.structure))
    return fitted.by_row(_outside_hidden(path, fitted), (), (), "best_paths")


def draw_paths(fitted: RestoredFit, values: Globals, keys: Array) -> xr.DataArray:
    """A path at each of several draws of the global sites, ``(draw, [series,] step)``."""
    paths = np.asarray(_drawn(fitted.model, values, keys, structure=fitted.structure))
    return fitted.by_row(_outside_hidden(paths, fitted), ("draw",), (), "paths")


def _outside_hidden(paths: np.ndarray, fitted: RestoredFit) -> np.ndarray:
    """State paths, -1 at steps that the program masks."""
    return np.where(hidden_steps(fitted.model, fitted.structure), -1, paths)


@partial(jax.jit, static_argnames=("structure",))
def _best(model: Model, values: Globals, *, structure: Structure) -> Array:
    return best_states(model, values, structure)


@partial(jax.jit, static_argnames=("structure",))
def _drawn(model: Model, values: Globals, keys: Array, *, structure: Structure) -> Array:
    def one(each: tuple[Globals, Array]) -> Array:
        return draw_assignments(model, each[1], each[0], structure)

    return in_batches(one, (values, keys), 16)
