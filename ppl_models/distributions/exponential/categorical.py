"""Vectors of independent categories, features with unequal numbers of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import logsumexp
from numpyro.distributions import constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.conditionals import BlockDirichletConditional
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.family import Statistics, broadcast_batch, real
from ppl_models.distributions.exponential.stacked import StackedFamily
from ppl_models.distributions.log_of_zero import is_log_of_zero, safe_log
from ppl_models.distributions.priors.scales_and_blocks import BlockDirichlet, split_blocks


class CategoricalVector(StackedFamily):
    """Rows of independent categories.

    The level probabilities of all features lie side by side on one axis, each feature's adding up
    to one; a datum is a level's code, ``0 .. levels - 1``, for every feature.

    Lazarsfeld and Henry (1968), Latent Structure Analysis; Bishop (2006), §2.2.

    Args:
        probs: ``batch + (sum of levels,)``.
        levels: number of levels of every feature.

    >>> emission = CategoricalVector(jnp.array([[[0.5, 0.5, 0.2, 0.3, 0.5]]]), levels=(2, 3))
    >>> emission.log_prob(jnp.array([[0, 2], [1, 1]])).shape
    (1, 2)
    """

    parameter_axes = {"probs": ("level",)}
    data_description = "codes of levels"
    component_picture = "levels"
    profile_parameter = "probs"
    profile_label = "probability of the level"
    starts_from_rows = False  # answers are much alike: clusters seeded by one row are all of a kind
    numpyro_classes = ((dist.CategoricalProbs, 1), (dist.CategoricalLogits, 1))
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "probs": (BlockDirichlet, dist.Dirichlet)
    }
    plug_in_parameters = ("probs",)
    pytree_aux_fields = ("levels",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.independent(constraints.unit_interval, 1)
    }

    def __init__(self, probs: Any, levels: tuple[int, ...], *, validate_args: bool | None = None):
        self.probs, self.levels = real(probs), tuple(int(k) for k in levels)
        batch = broadcast_batch((self.probs, 1))
        super().__init__(batch, (len(self.levels),), validate_args=validate_args)

    @property
    def support(self) -> Any:
        """Codes below every feature's number of levels."""
        return constraints.independent(
            constraints.integer_interval(0, np.asarray(self.levels) - 1), 1
        )

    def static_arguments(self) -> dict[str, Any]:
        """The numbers of levels."""
        return {"levels": self.levels}

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> Any | None:
        """Features of as many levels each."""
        probs = jnp.asarray(distribution.probs)
        levels = probs.shape[-1]
        probs = jnp.broadcast_to(probs, jnp.broadcast_shapes(probs.shape, (*event_shape, levels)))
        return cls(probs.reshape(*probs.shape[:-2], -1), (levels,) * event_shape[0])

    def _indicators(self, value: Array, dtype: Any) -> Array:
        """One-hot columns of the levels; zeros for a missing cell (NaN)."""
        level = np.concatenate([np.arange(k) for k in self.levels])
        repeated = jnp.repeat(
            value, np.asarray(self.levels), axis=-1, total_repeat_length=int(sum(self.levels))
        )
        return (repeated == level).astype(dtype)

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """One-hot columns of the levels; zeros for a missing cell."""
        return self._indicators(value, self.probs.dtype).T

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """Logarithms of the probabilities."""
        return safe_log(self.probs)

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """Where a level has probability zero."""
        never = is_log_of_zero(self.coefficients(missing=missing, centre=centre))
        return matmul(never.astype(prepared.dtype), prepared) > 0

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """``counts (component, level)`` of all features side by side."""
        return {"counts": sums}

    def pointwise(self, value: Array) -> Array:
        """Log-density by summing the chosen levels' logarithms."""
        return (self._indicators(value, self.probs.dtype) * safe_log(self.probs)).sum(-1)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        return (statistics["counts"] * safe_log(self.probs)).sum(-1)

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Dirichlets side by side."""
        if prior is not None:
            blocks = prior.blocks if isinstance(prior, BlockDirichlet) else prior.event_shape
            if blocks != self.levels:
                return None
        concentration = 1.0 if prior is None else prior.concentration
        counts = statistics["counts"].sum(0) if shared else statistics["counts"]
        return BlockDirichletConditional(concentration + counts, self.levels)

    def plug_in(self, parameter: str, q: BlockDirichletConditional) -> Array:
        """By the expected logarithms of the probabilities, normalised."""
        return jnp.concatenate([jax.nn.softmax(b.expected_log()) for b in q.by_block()], -1)

    def jensen_gap(self, posterior: Mapping[str, Any]) -> Array:
        """``log Σ exp E[log p]`` of every feature: a row shows one of its levels."""
        gaps = [logsumexp(b.expected_log(), -1) for b in posterior["probs"].by_block()]
        return jnp.broadcast_to(sum(gaps, jnp.zeros(())), self.batch_shape)

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """The most probable level of every feature, by labels "feature=level"."""
        best: dict[str, tuple[str, float]] = {}
        for label, p in zip(features, np.asarray(parameters["probs"])[component], strict=True):
            feature, _, level = label.rpartition("=")
            if feature not in best or p > best[feature][1]:
                best[feature] = (level, float(p))
        values = [f"{level} ({p:.0%})" for level, p in best.values()]
        return f"most probable: {by_feature(list(best), values)}"

    def start_points(self, value: Array) -> Array:
        """Indicators of the levels, NaN for missing cells."""
        indicators = self._indicators(value, jnp.result_type(self.probs, float))
        absent = jnp.repeat(
            missing_cells(value),
            np.asarray(self.levels),
            axis=-1,
            total_repeat_length=int(sum(self.levels)),
        )
        return jnp.where(absent, jnp.nan, indicators)

    def draw_start(self, parameter: str, key: Array, like: Array) -> Array:
        """Level probabilities drawn uniformly from the simplex of every feature."""
        flat = BlockDirichletConditional(jnp.ones_like(like), self.levels)
        return flat.sample(key).astype(like.dtype)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)`` of codes."""
        shape = sample_shape + self.batch_shape
        parts = split_blocks(self.probs, self.levels)
        keys = random.split(key, len(parts))
        columns = [
            random.categorical(k, safe_log(p), shape=shape)
            for k, p in zip(keys, parts, strict=True)
        ]
        return jnp.stack(columns, -1).astype(jnp.int32)

    @property
    def mean(self) -> Array:
        """Mean code of every feature."""
        parts = split_blocks(self.probs, self.levels)
        return jnp.stack([matmul(p, jnp.arange(p.shape[-1], dtype=p.dtype)) for p in parts], -1)

    @property
    def variance(self) -> Array:
        """Variance of every feature's code."""
        parts = split_blocks(self.probs, self.levels)
        second = [matmul(p, jnp.arange(p.shape[-1], dtype=p.dtype) ** 2) for p in parts]
        return jnp.stack(second, -1) - self.mean**2
