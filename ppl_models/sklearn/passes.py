"""One pass of an emission over rows: log-densities, responsibilities and sufficient statistics.

Rows are taken in blocks that are padded to a power of two, with rows of weight 0, so that few
shapes are compiled whatever the number of rows; statistics add up over blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.data.missing import has_missing
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.program.runtime.precision import scope

LEAST, MOST = 64, 16_384  #: rows of a block


@dataclass
class Expectations:
    """What a pass finds.

    Args:
        log_density: of every row, all components summed, ``(row,)``.
        log_joint: of every row with every component, ``(row, component)``; None where not asked.
        entropy: of the assignment of every row, ``(row,)``.
        counts: expected weight of every component, ``(component,)``.
        statistics: of every component, by name, as the emission defines them.
    """

    log_density: np.ndarray
    log_joint: np.ndarray | None
    entropy: np.ndarray
    counts: np.ndarray
    statistics: dict[str, np.ndarray]


class Rows:
    """Rows with weights, cut into blocks.

    Args:
        value: ``(row, feature)``, NaN where missing.
        weights: ``(row,)``.
        centre: a point amid the data, ``(feature,)``, which statistics are taken about.
    """

    def __init__(self, value: np.ndarray, weights: np.ndarray, centre: np.ndarray):
        self.value, self.weights, self.centre = value, weights, centre
        self.missing = has_missing(value)
        self.parts = [
            slice(first, min(first + MOST, len(value))) for first in range(0, len(value), MOST)
        ]
        with scope("float64"):
            self.blocks = [self._padded(value[part]) for part in self.parts]
            self.present = [self._padded(weights[part], 0.0) for part in self.parts]
            self.point = jnp.asarray(centre)

    def _padded(self, block: np.ndarray, fill: float | None = None) -> Array:
        lacking = max(LEAST, 1 << (len(block) - 1).bit_length()) - len(block)
        rest = block[:1] if fill is None else np.full(1, fill)
        return jnp.asarray(np.concatenate([block, np.repeat(rest, lacking, axis=0)]))

    def expectations(
        self,
        family: Callable[[], ExponentialFamily],
        offsets: np.ndarray,
        responsibilities: np.ndarray | None = None,
        *,
        every: bool = False,
    ) -> Expectations:
        """The E-step.

        Args:
            family: makes the emission of all components, in double precision.
            offsets: added to every component's log-density, ``(component,)``: log-weights.
            responsibilities: ``(row, component)``, in place of those of the parameters.
            every: return the log joint density of every row with every component too.
        """
        densities, joints, entropies, total = [], [], [], None
        with scope("float64"):
            emission, added = family(), jnp.asarray(offsets, float)
            for part, block, present in zip(self.parts, self.blocks, self.present, strict=True):
                log_density = np.zeros((len(offsets), len(block)))
                if responsibilities is not None:
                    log_density[:, : part.stop - part.start] = responsibilities[part].T
                density, joint, entropy, counts, statistics = _pass(
                    emission,
                    added,
                    block,
                    present,
                    self.point,
                    jnp.asarray(log_density),
                    responsibilities is not None,
                    missing=self.missing,
                )
                size = part.stop - part.start
                densities.append(np.asarray(density)[:size])
                entropies.append(np.asarray(entropy)[:size])
                if every:
                    joints.append(np.asarray(joint)[:, :size].T)
                expected = jax.tree.map(np.asarray, (counts, statistics))
                total = expected if total is None else jax.tree.map(np.add, total, expected)
        assert total is not None
        joint_densities = np.concatenate(joints) if every else None
        return Expectations(
            np.concatenate(densities), joint_densities, np.concatenate(entropies), *total
        )


@partial(jax.jit, static_argnames=("missing",))
def _pass(
    family: ExponentialFamily,
    offsets: Array,
    value: Array,
    present: Array,
    centre: Array,
    log_density: Array,
    use_given: Array,
    *,
    missing: bool,
) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
    """Log-densities, log joint densities, entropies, counts and statistics of one block."""
    prepared = family.prepare(value, missing=missing, centre=centre)
    logits = family.logits(prepared, missing=missing, centre=centre) + offsets[:, None]
    never = family.impossible(prepared, missing=missing, centre=centre)
    joint = logits if never is None else jnp.where(never, -jnp.inf, logits)
    top = logits.max(0)
    responsibility = jnp.exp(logits - top)
    total = responsibility.sum(0)
    responsibility = responsibility / total  # of a row that is impossible, what is least so
    entropy = jnp.log(total) - (responsibility * jnp.maximum(logits - top, -1e30)).sum(0)
    weights = jnp.where(use_given, log_density, responsibility) * present
    statistics = family.prepared_statistics(weights, prepared, missing=missing, centre=centre)
    highest = joint.max(0)
    finite = jnp.where(jnp.isfinite(highest), highest, 0)
    density = finite + jnp.log(jnp.exp(joint - finite).sum(0))
    return density, joint, entropy, weights.sum(1), statistics
