"""Sequences of tokens, each depending on several before it, with power laws: sparse n-grams."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import Tokens
from ppl_models.distributions.sequences.ngram_chain import NgramChain, smoothed
from ppl_models.distributions.sequences.ngrams import Ngrams, count_ngrams
from ppl_models.distributions.sequences.table_counts import Tables
from ppl_models.errors import InputError


def _count(tokens: Any, vocabulary: int, order: int) -> Ngrams:
    return count_ngrams(tokens, vocabulary=vocabulary, order=order)


def pitman_yor_chain(
    tokens: Annotated[Any, Tokens] = None,
    *,
    vocabulary: int,
    order: int = 3,
    discounts: int = 1,
    discount_ones: float = 1.0,
    discount_zeros: float = 1.0,
    concentration_shape: float = 1.0,
    concentration_rate: float = 1.0,
    seen: Annotated[Any, FromData(_count)] = None,
    sequences: int | None = None,
    positions: int = 100,
) -> Any:
    """Sequences of tokens, each drawn from what follows the ``order - 1`` tokens before it.

        d_m ~ Beta(discount_ones, discount_zeros),
        θ_m ~ Gamma(concentration_shape, concentration_rate)    for contexts of m = 0 … order - 1
        G_∅ ~ PitmanYor(d_0, θ_0, uniform over the tokens and <end>)
        G_u ~ PitmanYor(d_|u|, θ_|u|, G of u without its token furthest back)
        x_t | x_<t ~ G_(the order - 1 tokens before it), until <end>

    The G are summed out: what is kept of them is ``tables``, how often each token after each
    context was taken from the shorter context when the sequences ``seen`` came about, and the site
    ``tokens`` is the predictive distribution of one more sequence given those.
    ``method="pitman_yor_gibbs"`` draws all three; ``method="kneser_ney"`` sets every number of
    tables to one. Discounts held at zero (``fixed={"discount": 0}``) make the hierarchical
    Dirichlet process. Teh (2006).

    The empty sequence is one of those whose probabilities add up to one, unlike in the other
    chains: a first token is drawn as every other, and may be <end>. As no data are empty, it
    becomes improbable with their number, but may be written; and it is what keeps the seating of
    customers exact, which a condition on the first token would not.

    Args:
        tokens: ``(sequence, position)`` codes 0 … V-1, then V (``<end>``) to the end of the row;
            None generates ``sequences`` sequences.
        vocabulary: V, the number of tokens without ``<end>``.
        order: 1 for single tokens, 2 for pairs, …
        discounts: discounts of every length of context: 1, or 3 (for entries with one, two, and
            more customers), which are those of modified Kneser-Ney smoothing.
        discount_ones: of the Beta prior of the discounts.
        discount_zeros: the second of that prior.
        concentration_shape: of the Gamma prior of the concentrations.
        concentration_rate: the second of that prior.
        seen: counts of the sequences that tell about G (default: those of ``tokens``).
        sequences: number of sequences where there are no data.
        positions: longest row that is generated, ``<end>`` included.

    Returns:
        The rows of codes.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> seen = count_ngrams(jnp.array([[0, 1, 2], [0, 2, 2]]), vocabulary=2, order=2)
    >>> program = handlers.seed(pitman_yor_chain, random.key(0))
    >>> program(vocabulary=2, order=2, seen=seen, sequences=4, positions=9).shape
    (4, 9)
    """
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    if seen is None and tokens is None:
        raise InputError(
            "the program generates from counts of observed sequences: give tokens= or seen="
        )
    seen = _count(tokens, vocabulary, order) if seen is None else seen
    with numpyro.plate("order", order):
        if discounts == 1:
            discount = numpyro.sample("discount", dist.Beta(discount_ones, discount_zeros))
        else:
            # NumPy's arrays, for the support outlives the trace
            several = dist.Uniform(np.zeros(discounts), np.arange(1.0, 1 + discounts)).to_event(1)
            discount = numpyro.sample("discount", several, infer={"event_dims": ["customers"]})
        concentration = numpyro.sample(
            "concentration", dist.Gamma(concentration_shape, concentration_rate)
        )
    tables = numpyro.sample(
        "tables", Tables(seen.repeated.shape[0]), infer={"event_dims": ["repeated"]}
    )
    with numpyro.plate("sequence", sequences):
        chain = NgramChain(
            seen, *smoothed(seen, tables, discount, concentration), positions=positions
        )
        return numpyro.sample("tokens", chain, obs=tokens, infer={"event_dims": ["position"]})
