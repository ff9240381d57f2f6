"""Sequences of tokens in which each depends on the one before, up to ``<end>``."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Tokens
from ppl_models.distributions import TokenChain
from ppl_models.models._pseudo_counts import pseudo_count


def markov_chain(
    tokens: Annotated[Any, Tokens] = None,
    *,
    vocabulary: int,
    initial_concentration: float | None = None,
    concentration: float | None = None,
    sequences: int | None = None,
    positions: int = 100,
) -> Any:
    """Sequences of tokens in which each depends on the one before, up to ``<end>``.

        π₀ ~ Dirichlet(initial_concentration)       how sequences begin
        A_v ~ Dirichlet(concentration)              what follows token v: a token or <end>
        x_1 ~ Categorical(π₀),  x_t+1 | x_t = v ~ Categorical(A_v)  until <end>

    P(x) = π₀[x_1] A[x_1, x_2] … A[x_T, <end>]; over all finite sequences of at least one token
    these add up to one. By default a posterior mode has no probability of 0, so that no new
    sequence is impossible; with concentrations of 1 the priors are flat.

    Anderson and Goodman (1957), Statistical inference about Markov chains; Bishop (2006) §13.1.

    Args:
        tokens: ``(sequence, position)`` codes 0 … V-1, then V (``<end>``) to the end of the row;
            -1 is a token that is not known; None generates ``sequences`` sequences.
        vocabulary: V, the number of tokens without ``<end>``.
        initial_concentration: of the Dirichlet prior of the first token; a number or ``(token,)``
            (default: 1 + 1 / V).
        concentration: of the Dirichlet priors of the transitions; a number or ``(next_token,)``
            (default: 1 + 1 / (V + 1)).
        sequences: number of sequences where there are no data.
        positions: longest row that is generated, ``<end>`` included.

    Returns:
        The rows of codes.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(markov_chain, random.key(0))(vocabulary=3, sequences=5, positions=9).shape
    (5, 9)
    """
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    first = pseudo_count(initial_concentration, 1, vocabulary)
    later = pseudo_count(concentration, 1, vocabulary + 1)
    initial = numpyro.sample(
        "initial",
        dist.Dirichlet(first + jnp.zeros(vocabulary)),
        infer={"event_dims": ["token"]},
    )
    with numpyro.plate("token", vocabulary):
        transition = numpyro.sample(
            "transition",
            dist.Dirichlet(later + jnp.zeros(vocabulary + 1)),
            infer={"event_dims": ["next_token"]},
        )
    with numpyro.plate("sequence", sequences):
        chain = TokenChain(initial, transition, positions=positions)
        return numpyro.sample("tokens", chain, obs=tokens, infer={"event_dims": ["position"]})
