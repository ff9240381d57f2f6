"""Sequences of tokens from hidden kinds, each with a chain of its own: click-streams."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Tokens
from ppl_models.distributions import TokenChain
from ppl_models.models._pseudo_counts import pseudo_count
from ppl_models.models._weights import mixture_weights


def chain_mixture(
    tokens: Annotated[Any, Tokens] = None,
    *,
    clusters: int,
    vocabulary: int,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    initial_concentration: float | None = None,
    transition_concentration: float | None = None,
    sequences: int | None = None,
    positions: int = 100,
) -> Any:
    """Sequences of tokens from hidden kinds, each with a chain of its own: click-streams.

        π ~ Dirichlet(concentration)                    how common the kinds are
        B_k ~ Dirichlet(initial_concentration)          how sequences of kind k begin
        A_kv ~ Dirichlet(transition_concentration)      what follows token v: a token or <end>
        z_n ~ Categorical(π)                            which kind sequence n is of
        x_n1 ~ Categorical(B_z),  x_n,t+1 | x_nt = v ~ Categorical(A_zv)  until <end>

    By default a posterior mode has no probability of 0, so that no new sequence is impossible; with
    concentrations of 1 the priors are flat. Cadez, Heckerman, Meek, Smyth and White (2003).

    Args:
        tokens: ``(sequence, position)`` codes 0 … V-1, then V (``<end>``) to the end of the row;
            -1 is a token that is not known; None generates ``sequences`` sequences.
        clusters: K.
        vocabulary: V, the number of tokens without ``<end>``.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        initial_concentration: of the Dirichlet priors of the first token; a number or
            ``(token,)`` (default: 1 + 1 / (KV)).
        transition_concentration: of the Dirichlet priors of the transitions; a number or
            ``(next_token,)`` (default: 1 + 1 / (K (V + 1))).
        sequences: number of sequences where there are no data.
        positions: longest row that is generated, ``<end>`` included.

    Returns:
        The rows of codes.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(chain_mixture, random.key(0))
    >>> program(clusters=2, vocabulary=3, sequences=5, positions=9).shape
    (5, 9)
    """
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    weights = mixture_weights(clusters, concentration, weight_prior)
    first = pseudo_count(initial_concentration, clusters, vocabulary)
    later = pseudo_count(transition_concentration, clusters, vocabulary + 1)
    with numpyro.plate("cluster", clusters):
        initial = numpyro.sample(
            "initial",
            dist.Dirichlet(first + jnp.zeros(vocabulary)),
            infer={"event_dims": ["token"]},
        )
        transition = numpyro.sample(
            "transition",
            dist.Dirichlet(later + jnp.zeros((vocabulary, vocabulary + 1))).to_event(1),
            infer={"event_dims": ["token", "next_token"]},
        )
    with numpyro.plate("sequence", sequences):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        chain = TokenChain(initial[z], transition[z], positions=positions)
        return numpyro.sample("tokens", chain, obs=tokens, infer={"event_dims": ["position"]})
