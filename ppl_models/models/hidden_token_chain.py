"""Sequences of tokens written along a hidden Markov chain of states, up to `<end>`."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Tokens
from ppl_models.distributions import HiddenTokenChain
from ppl_models.models._pseudo_counts import pseudo_count
from ppl_models.models._states import check_order, steps


def hidden_token_chain(
    tokens: Annotated[Any, Tokens] = None,
    *,
    states: int,
    vocabulary: int,
    order: int = 1,
    initial_concentration: float = 1.0,
    transition_concentration: float | None = None,
    concentration: float | None = None,
    sequences: int | None = None,
    positions: int = 100,
) -> Any:
    """Sequences of tokens written along a hidden Markov chain, up to ``<end>``.

        π₀ ~ Dirichlet(initial_concentration)        the first state
        A_s ~ Dirichlet(transition_concentration)    what follows state s: a state or <end>
        p_s ~ Dirichlet(concentration)               the tokens of state s
        z_1 ~ Categorical(π₀),  z_t+1 | z_t = s ~ Categorical(A_s)  until <end>
        x_t | z_t = s ~ Categorical(p_s)
        order 2: z_t+1 | z_t-1 = r, z_t = s ~ Categorical(A_rs),  z_2 | z_1 = s ~ Categorical(B_s),
            with priors of A_rs and of B_s (``initial_transition``) like those of A_s

    The path z is summed out; over all finite sequences of at least one token the probabilities add
    up to one. By default a posterior mode has no probability of 0 but of the first state, so that
    no new sequence is impossible; with concentrations of 1 the priors are flat. Rabiner (1989).

    Args:
        tokens: ``(sequence, position)`` codes 0 … V-1, then V (``<end>``) to the end of the row;
            -1 is a token that is not known; None generates ``sequences`` sequences.
        states: number of states.
        vocabulary: V, the number of tokens without ``<end>``.
        order: 1, or 2 where the next state depends on the last two.
        initial_concentration: of the Dirichlet prior of the first state.
        transition_concentration: of the Dirichlet priors of the transitions (default:
            1 + 1 / (K (K + 1)) of K states).
        concentration: of the Dirichlet priors of the tokens (default: 1 + 1 / (KV)).
        sequences: number of sequences where there are no data.
        positions: longest row that is generated, ``<end>`` included.

    Returns:
        The rows of codes.

    Raises:
        InputError: an order other than 1 and 2.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(hidden_token_chain, random.key(0))
    >>> program(states=2, vocabulary=3, sequences=5, positions=9).shape
    (5, 9)
    """
    check_order(order)
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    initial = numpyro.sample(
        "initial",
        dist.Dirichlet(initial_concentration + jnp.zeros(states)),
        infer={"event_dims": ["state"]},
    )
    later = pseudo_count(transition_concentration, states, states + 1)
    prior = dist.Dirichlet(later + jnp.zeros(states + 1))
    transition = steps("transition", prior, states, pairs=order == 2)
    second = steps("initial_transition", prior, states) if order == 2 else None
    with numpyro.plate("state", states):
        probs = numpyro.sample(
            "probs",
            dist.Dirichlet(pseudo_count(concentration, states, vocabulary) + jnp.zeros(vocabulary)),
            infer={"event_dims": ["token"]},
        )
    with numpyro.plate("sequence", sequences):
        chain = HiddenTokenChain(
            initial, transition, probs, positions=positions, initial_transition=second
        )
        return numpyro.sample("tokens", chain, obs=tokens, infer={"event_dims": ["position"]})
