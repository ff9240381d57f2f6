"""Predictive probabilities of tokens, and the perplexity of sequences."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array, lax

from ppl_models import memory
from ppl_models.data.kinds.tokens import UNKNOWN
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.log_of_zero import is_log_of_zero
from ppl_models.distributions.sequences.autoregressive import Autoregressive, as_autoregressive
from ppl_models.errors import InputError
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure

WORDS = "words"  #: attribute of a fit whose tokens were words, even if of one character each


def perplexity(tree: xr.DataTree, data: Any = None, *, draws: int | None = None) -> xr.Dataset:
    """Perplexity of sequences, per token, ``<end>`` counted as one.

    The probability of a whole sequence is its posterior predictive probability, as in
    ``log_density``: the mean over draws, clusters summed out.

    Jurafsky and Martin (2009), Speech and Language Processing, §4.4.

    Args:
        tree: a fit of a program that writes sequences.
        data: sequences (default: the fitted ones).
        draws: use at most this many draws a chain.

    Returns:
        ``nats_per_token``, ``bits_per_token``, ``perplexity`` (the exponential of the nats) and
        ``tokens``, how many were predicted; infinite where a sequence is impossible.

    Raises:
        InputError: a program that writes no sequences, tokens that are not known, or tokens that
            the fit's vocabulary lacks.

    >>> from ppl_models import fit
    >>> tree = fit("markov_chain", ["ab", "abab"], method="em", priors="flat", seed=0)
    >>> float(perplexity(tree).bits_per_token.round(3))  # b ends the sequence in 2 of 3 cases
    0.344
    """
    with scope(tree.attrs.get("precision", "float64")):
        restored, site, emission = _sequences(tree, data, draws)
        total = _by_blocks(restored, site, emission, "sequence").sum()
        count = int(_inside(restored.observed[site].values, emission).sum())
    nats = -float(total) / count
    return xr.Dataset(
        {
            "nats_per_token": nats,
            "bits_per_token": nats / np.log(2),
            "perplexity": np.exp(nats),
            "tokens": count,
        }
    )


def token_probabilities(
    tree: xr.DataTree, data: Any = None, *, every: bool = False, draws: int | None = None
) -> xr.DataArray:
    """Predictive probability of every token given the tokens before it in its sequence.

    Draws and clusters are weighed by how well they predicted the tokens read so far, so that the
    probabilities of a sequence's tokens, ``<end>`` included, multiply to the sequence's own.

    The chain rule of probability; Jurafsky and Martin (2009), Speech and Language Processing, §4.2.

    Args:
        tree: a fit of a program that writes sequences.
        data: sequences (default: the fitted ones).
        every: the probability of every token that might have stood there, not only of the one
            that does.
        draws: use at most this many draws a chain.

    Returns:
        ``(sequence, position)``, NaN after ``<end>`` (and after a token that was impossible);
        with ``every`` ``(sequence, position, next_token)``.

    Raises:
        InputError: as :func:`perplexity`.

    >>> from ppl_models import fit
    >>> tree = fit("markov_chain", ["ab", "abab"], method="em", priors="flat", seed=0)
    >>> token_probabilities(tree, ["ab"]).values.round(2).tolist()
    [[1.0, 1.0, 0.67]]
    """
    with scope(tree.attrs.get("precision", "float64")):
        restored, site, emission = _sequences(tree, data, draws)
        joint = _by_blocks(restored, site, emission, "table" if every else "token")
        reading = restored.observed[site]
        inside = _inside(reading.values, emission)
    with np.errstate(invalid="ignore"):
        if every:
            top = joint.max(-1, keepdims=True)
            weights = np.exp(joint - top)
            table = weights / weights.sum(-1, keepdims=True)
        else:
            table = np.exp(np.diff(joint, axis=1, prepend=0.0))
    table[~inside] = np.nan
    dims = (*reading.dims, "next_token")[: table.ndim]
    sizes = dict(zip(dims, table.shape, strict=True))
    coords = {
        n: np.asarray(c) for n, c in reading.coords.items() if sizes.get(n) == len(np.asarray(c))
    }
    return xr.DataArray(table, coords, dims, name="probability")


def of_words(tree: xr.DataTree) -> bool:
    """Whether the tokens of a fit are words rather than characters."""
    labels = from_json(tree.attrs.get("coordinate_labels", "{}"))
    unknown = set(labels.get(UNKNOWN, ()))
    tokens = (str(t) for t in labels.get("token", ()) if t not in unknown)
    return WORDS in tree.attrs or any(len(token) > 1 for token in tokens)


def sequence_site(restored: RestoredFit) -> tuple[str, Autoregressive] | None:
    """The autoregressive site of the program, and its distribution.

    The distribution is not evaluated: only its static attributes may be read. None if the program
    has no such site, or other observed sites beside it.
    """
    model, structure = restored.problem.model, restored.problem.structure
    emissions: dict[str, Any] = {}

    def trace(model: Model, key: Array) -> None:
        run = model.trace_at(structure.initial(key), structure)
        emissions.update({n: unwrap(run[n]["fn"]) for n in structure.emissions})

    jax.eval_shape(trace, model, jax.random.key(0))
    (site, emission), *more = emissions.items()
    emission = as_autoregressive(emission)
    return None if emission is None or more else (site, emission)


def _sequences(
    tree: xr.DataTree, data: Any, draws: int | None
) -> tuple[RestoredFit, str, Autoregressive]:
    """The fit restored on sequences without missing tokens, their site and distribution."""
    restored = restore(tree, data, draws=draws)
    written = sequence_site(restored)
    if written is None:
        raise InputError(
            f"the program {tree.attrs['program']} does not write sequences token by token: use "
            "log_density"
        )
    site, emission = written
    unknown = missing_cells(restored.observed[site].values).any(1)
    if unknown.any():
        other = "" if emission.needs_whole_rows else ", or use log_density, which sums them out"
        raise InputError(
            f"sequence {int(unknown.argmax())} of {site} has tokens that are not known: fill them "
            f"in with impute{other}"
        )
    return restored, site, emission


def _inside(codes: np.ndarray, emission: Autoregressive) -> np.ndarray:
    """Which positions hold a token or the first ``<end>``."""
    if not emission.ends:
        return np.ones(codes.shape, bool)
    ended = codes >= emission.tokens
    return np.cumsum(ended, axis=1) <= ended


def _by_blocks(restored: RestoredFit, site: str, emission: Autoregressive, what: str) -> np.ndarray:
    """Log mean over draws of the probabilities of :func:`_read_draws`, for all sequences."""
    model = restored.problem.model
    codes = np.asarray(model.data[site])
    cells = codes.shape[1] * (emission.tokens + 1 if what == "table" else 1)
    size = max(1, memory.BLOCK_NUMBERS // cells)
    values = {n: jnp.asarray(v) for n, v in restored.values.items()}
    count = len(next(iter(values.values()))) if values else 1
    pieces = []
    for first in range(0, len(codes), size):
        part, structure = restored.rows(slice(first, first + size))
        summed = _read_draws(part, values, structure=structure, site=site, what=what)
        pieces.append(np.asarray(summed, np.float64))
    return np.concatenate(pieces) - np.log(count)


def _exact(log_probs: Array) -> Array:
    """Log-probabilities, those of exact zeros as ``-inf``."""
    return jnp.where(is_log_of_zero(log_probs), -jnp.inf, log_probs)


@partial(jax.jit, static_argnames=("structure", "site", "what"))
def _read_draws(
    model: Model, values: Globals, *, structure: Structure, site: str, what: str
) -> Array:
    """log Σ over draws and clusters of P(cluster | draw) P(prefix | cluster, draw).

    "sequence": whole sequences ``(row,)``; "token": all up to each position ``(row, position)``;
    "table": all before each position and each token there ``(row, position, V + 1)``.
    """
    value = jnp.asarray(model.data[site], jnp.int32)

    def component(held: Globals, cluster: Array | None, log_weight: Array) -> Array:
        emission = unwrap(model.trace_at(held, structure, assignment=cluster)[site]["fn"])
        steps = _exact(emission.taken_each(value))
        if what == "sequence":
            return log_weight + steps.sum(1)
        if what == "token":
            return log_weight[:, None] + jnp.cumsum(steps, axis=1)
        read = jnp.cumsum(steps, axis=1)
        before = jnp.concatenate([jnp.zeros_like(read[:, :1]), read[:, :-1]], axis=1)
        return (log_weight[:, None] + before)[..., None] + _exact(emission.following_each(value))

    def draw(total: Array, held: Globals) -> tuple[Array, None]:
        if structure.assignment is None:
            return jnp.logaddexp(total, component(held, None, jnp.zeros(structure.rows))), None
        weights = model.pieces(held, structure).log_weights
        assert weights is not None
        log_weights = jnp.broadcast_to(weights, (structure.clusters, structure.rows))

        def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
            return jnp.logaddexp(total, component(held, *pair)), None

        return lax.scan(add, total, (jnp.arange(structure.clusters), log_weights))

    def first_of(values: Globals) -> Array:
        held = {n: v[0] for n, v in values.items()}
        cluster = None if structure.assignment is None else jnp.zeros((), int)
        return component(held, cluster, jnp.zeros(structure.rows))

    shape = jax.eval_shape(first_of, values)
    nothing = jnp.full(shape.shape, -jnp.inf, shape.dtype)
    if not values:
        return draw(nothing, {})[0]
    return lax.scan(draw, nothing, values)[0]
