"""Sequences of tokens in which each depends on the last few, up to `<end>`."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models import memory
from ppl_models.data.kinds import Tokens
from ppl_models.distributions import TokenChain, context_count
from ppl_models.errors import InputError
from ppl_models.models._pseudo_counts import pseudo_count


def ordered_chain(
    tokens: Annotated[Any, Tokens] = None,
    *,
    vocabulary: int,
    order: int = 2,
    initial_concentration: float | None = None,
    concentration: float | None = None,
    sequences: int | None = None,
    positions: int = 100,
) -> Any:
    """Sequences of tokens in which each depends on the last few, up to ``<end>``.

        π₀ ~ Dirichlet(initial_concentration)       how sequences begin
        A_c ~ Dirichlet(concentration)              what follows context c: a token or <end>
        x_1 ~ Categorical(π₀),  x_t+1 | context c_t ~ Categorical(A_c)  until <end>

    The context is the last ``order`` tokens, fewer near the beginning, where no more have been
    read: V + V² + … + V^order contexts. With ``order=1`` this is ``markov_chain``. What follows a
    context that was never seen is its prior; ``method="exact"`` gives the log evidence, by which
    orders can be compared. By default a posterior mode has no probability of 0, so that no new
    sequence is impossible; with concentrations of 1 the priors are flat.

    Chains of higher order: Jurafsky and Martin (2009), Speech and Language Processing, chapter 4.

    Args:
        tokens: ``(sequence, position)`` codes 0 … V-1, then V (``<end>``) to the end of the row;
            -1 is a token that is not known; None generates ``sequences`` sequences.
        vocabulary: V, the number of tokens without ``<end>``.
        order: how many tokens are looked back at.
        initial_concentration: of the Dirichlet prior of the first token; a number or ``(token,)``
            (default: 1 + 1 / V).
        concentration: of the Dirichlet priors of the transitions; a number or ``(next_token,)``
            (default: 1 + 1 / (V + 1)).
        sequences: number of sequences where there are no data.
        positions: longest row that is generated, ``<end>`` included.

    Returns:
        The rows of codes.

    Raises:
        InputError: no order, or one with more transitions than a table can hold.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(ordered_chain, random.key(0))
    >>> program(vocabulary=3, order=2, sequences=5, positions=9).shape
    (5, 9)
    """
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    contexts = _contexts(vocabulary, order)
    first = pseudo_count(initial_concentration, 1, vocabulary)
    later = pseudo_count(concentration, 1, vocabulary + 1)
    initial = numpyro.sample(
        "initial",
        dist.Dirichlet(first + jnp.zeros(vocabulary)),
        infer={"event_dims": ["token"]},
    )
    with numpyro.plate("token" if order == 1 else "context", contexts):
        transition = numpyro.sample(
            "transition",
            dist.Dirichlet(later + jnp.zeros(vocabulary + 1)),
            infer={"event_dims": ["next_token"]},
        )
    with numpyro.plate("sequence", sequences):
        chain = TokenChain(initial, transition, positions=positions, order=order)
        return numpyro.sample("tokens", chain, obs=tokens, infer={"event_dims": ["position"]})


def _contexts(vocabulary: int, order: int) -> int:
    """How many contexts there are.

    Raises:
        InputError: no order, or more transitions than a table can hold.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise InputError(f"order is {order!r}: give a whole number from 1 up")
    contexts = context_count(vocabulary, order) if order < 64 else memory.TRANSITION_NUMBERS
    if contexts * (vocabulary + 1) > memory.TRANSITION_NUMBERS:
        raise InputError(
            f"a chain of order {order} over {vocabulary} tokens would have "
            f"{contexts * (vocabulary + 1):,} transitions: give a lower order, or use the program "
            "pitman_yor_chain, which keeps only contexts that were seen"
        )
    return contexts
