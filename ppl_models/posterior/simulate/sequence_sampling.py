"""Ancestral sampling of sequences, token by token, from the start or from a prefix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.data.containers.vocabulary import Vocabulary
from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.sequences.autoregressive import Autoregressive, tempered
from ppl_models.errors import InputError
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.simulate.predictive import generative
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.trace.structure import Structure

TOGETHER = 256  #: sequences written side by side


class Style(NamedTuple):
    """Temperature, top-k and top-p of the choice of tokens; see ``tempered``."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def check(self) -> Style:
        """Refuse what is out of range.

        Raises:
            InputError: which number, and what it may be.

        >>> Style(0.5, 3).check().top_k
        3
        """
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature is {self.temperature!r}: give a number from 0 up")
        is_integer = isinstance(self.top_k, int | np.integer) and not isinstance(self.top_k, bool)
        if self.top_k is not None and not (is_integer and self.top_k >= 1):
            raise InputError(f"top_k is {self.top_k!r}: give a whole number from 1 up")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p!r}: give a probability above 0, at most 1")
        return self


def codes_of(
    prefix: Any, labels: Mapping[str, Any], emission: Autoregressive, length: int
) -> Array:
    """Codes ``(n,)`` of the prefix tokens.

    Args:
        prefix: a string of characters, or a list of tokens; codes where tokens have no names.
        labels: coordinates of the fit's data.
        emission: the distribution of sequences.
        length: positions of a sequence.

    Raises:
        InputError: tokens that are not in the vocabulary, or no room for more.
    """
    if "token" in labels:
        unknown = str(labels["unknown_token"][0]) if "unknown_token" in labels else None
        vocabulary = Vocabulary(tuple(str(t) for t in labels["token"]), unknown)
        codes = vocabulary.encode([prefix], site="prefix")[0, :-1]
    else:
        codes = np.atleast_1d(np.asarray(prefix))
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise InputError(f"prefix is {prefix!r:.40}: give a list of whole numbers")
    wrong = (codes < 0) | (codes >= emission.tokens)
    if wrong.any():
        raise InputError(
            f"prefix holds {prefix[int(wrong.argmax())]!r} at position {int(wrong.argmax())}: give "
            "known tokens only"
        )
    if len(codes) >= length:
        raise InputError(f"prefix has {len(codes)} tokens and length is {length}: raise length")
    return jnp.asarray(codes, jnp.int32)


def sample_sequences(
    restored: RestoredFit,
    site: str,
    key: Array,
    rows: int,
    *,
    length: int,
    style: Style,
    prefix: Array | None,
    values: Globals,
) -> np.ndarray:
    """Codes ``(row, length)``.

    Args:
        restored: the fit.
        site: its site that is written token by token.
        key: random key.
        rows: how many sequences.
        length: positions of a sequence.
        style: how tokens are chosen.
        prefix: codes that all begin with.
        values: global sites ``(row, ...)`` without a prefix, all draws' ``(draw, ...)`` with one:
            draws and clusters are then chosen by how probable they make it.
    """
    structure = restored.problem.structure
    model = generative(restored.problem.model, structure, 1, length)
    if model.data:  # a program that is told sizes by its data only
        model = model.with_data({site: np.zeros((1, length), np.int32)})
    choose_key, write_key = random.split(key)
    if prefix is None:
        clusters = _clusters(model, values, random.split(choose_key, rows), structure=structure)
    else:
        scores = _scores(model, values, prefix, structure=structure, site=site)
        if not np.isfinite(np.asarray(scores)).any():
            raise InputError(
                "prefix is impossible under the fit, so that nothing follows it: give another, or "
                "fit with priors that hold everything possible"
            )
        flat = random.categorical(choose_key, scores.reshape(-1), shape=(rows,))
        values = {n: v[flat // scores.shape[1]] for n, v in values.items()}
        clusters = flat % scores.shape[1]
    keys = random.split(write_key, rows)
    written = _sample(
        model, values, clusters, keys, prefix, structure=structure, site=site, style=style
    )
    return np.asarray(written)


def _emission(model: Model, held: Globals, cluster: Any, structure: Structure, site: str) -> Any:
    chosen = None if structure.assignment is None else cluster
    return unwrap(model.trace_at(held, structure, assignment=chosen)[site]["fn"])


@partial(jax.jit, static_argnames=("structure",))
def _clusters(model: Model, values: Globals, keys: Array, *, structure: Structure) -> Array:
    """A cluster for every sequence, by its draw's weights."""
    if structure.assignment is None:
        return jnp.zeros(keys.shape[0], int)

    def one(pair: tuple[Array, Globals]) -> Array:
        log_weights = model.pieces(pair[1], structure).log_weights
        assert log_weights is not None
        return random.categorical(pair[0], log_weights[:, 0])

    return in_batches(one, (keys, values), TOGETHER)


@partial(jax.jit, static_argnames=("structure", "site"))
def _scores(
    model: Model, values: Globals, prefix: Array, *, structure: Structure, site: str
) -> Array:
    """log P(cluster) P(prefix | cluster) by draw, ``(draw, cluster)``."""

    def of_cluster(held: Globals, cluster: Array) -> Array:
        emission = _emission(model, held, cluster, structure, site)

        def step(state: Any, token: Array) -> tuple[Any, Array]:
            return emission.read(state, token), emission.following(state)[token]

        return lax.scan(step, emission.begin(()), prefix)[1].sum()

    def of_draw(held: Globals) -> Array:
        log_weights = jnp.zeros(structure.clusters)
        if structure.assignment is not None:
            weights = model.pieces(held, structure).log_weights
            assert weights is not None
            log_weights = weights[:, 0]
        clusters = jnp.arange(structure.clusters)
        return log_weights + lax.map(lambda k: of_cluster(held, k), clusters)

    return lax.map(of_draw, values) if values else of_draw({})[None]


@partial(jax.jit, static_argnames=("structure", "site", "style"))
def _sample(
    model: Model,
    values: Globals,
    clusters: Array,
    keys: Array,
    prefix: Array | None,
    *,
    structure: Structure,
    site: str,
    style: Style,
) -> Array:
    plain = style == Style()
    change = (lambda log_probs: log_probs) if plain else tempered(*style)

    def one(arguments: tuple[Globals, Array, Array]) -> Array:
        held, cluster, key = arguments
        emission = _emission(model, held, cluster, structure, site)
        return emission.sample_sequences(key, (), change, prefix)

    return in_batches(one, (values, clusters, keys), TOGETHER)
