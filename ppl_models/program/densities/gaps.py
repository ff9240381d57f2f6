"""Missing cells that a program treats itself, putting a site in the place of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


def treats_gaps(model: Any, structure: Structure) -> bool:
    """Whether density and gradient of a program are numbers where cells of its data are missing.

    Args:
        model: the program with its data.
        structure: what was read off the program.
    """
    structure = structure.with_locals()
    if any(site.support.is_discrete for site in structure.sites):
        return False
    return bool(_is_finite(model, structure.initial(make_key(9)), structure=structure))


@quickly(static=("structure",))
def _is_finite(model: Any, values: Mapping[str, Array], *, structure: Structure) -> Array:
    def log_joint(values: Mapping[str, Array]) -> Array:
        of_rows = logsumexp(model.logits(values, structure), axis=0)
        return of_rows.sum() + model.log_prior(values, structure)

    leaves = jax.tree.leaves(jax.value_and_grad(log_joint)(dict(values)))
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
