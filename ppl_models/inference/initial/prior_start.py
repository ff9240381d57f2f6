"""A start at the means of the priors, where these tell every component from the others.

Where priors say what each component is (annotators tend to give a class its own label), the first
responsibilities follow from the priors: of annotations they are the majority vote, from which Dawid
and Skene (1979) start.
"""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax import Array

from ppl_models.inference.prior_places import prior_moment
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


def prior_start(problem: Problem) -> dict[str, np.ndarray] | None:
    """Global sites at the means of their priors; None where these leave components alike.

    Args:
        problem: program and data.
    """
    swaps = problem.label_swaps
    if swaps is None or swaps.sticks is not None or problem.blocks is not None:
        return None
    structure = problem.structure
    values = {n: np.asarray(v) for n, v in structure.initial(make_key(0)).items()}
    for name in values:
        mean = prior_moment(problem.example.priors.get(name), "mean", values[name].shape)
        if mean is None or not np.isfinite(mean).all():
            return None
        values[name] = np.asarray(mean, values[name].dtype)
    logits = np.asarray(_logits(problem.model, values, structure=structure))
    apart = len(np.unique(logits.round(9), axis=0)) == structure.clusters
    return values if apart and np.isfinite(logits).any(0).all() else None


@partial(jax.jit, static_argnames=("structure",))
def _logits(model: Model, values: Globals, *, structure: Structure) -> Array:
    return model.logits(values, structure)
