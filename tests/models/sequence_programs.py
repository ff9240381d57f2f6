"""The programs of sequences once more, step by step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from default_priors import scatter_rate
from numpyro.contrib.control_flow import scan

from ppl_models.distributions import InverseGammaScale


def even(levels: int, components: int = 1) -> dist.Dirichlet:
    """The prior that adds one observation, in equal parts to all components and levels."""
    return dist.Dirichlet(jnp.full(levels, 1 + 1 / components / levels))


def chain(tokens: Any, *, vocabulary: int) -> None:
    initial = numpyro.sample("initial", even(vocabulary))
    with numpyro.plate("token", vocabulary):
        transition = numpyro.sample("transition", even(vocabulary + 1))
    with numpyro.plate("sequence", len(tokens)):
        numpyro.sample("first", dist.Categorical(initial), obs=tokens[:, 0])
        for t in range(1, tokens.shape[1]):
            before = tokens[:, t - 1]
            step = dist.Categorical(transition[jnp.minimum(before, vocabulary - 1)])
            numpyro.sample(f"step {t}", step.mask(before < vocabulary), obs=tokens[:, t])


def hidden(x: Any, *, states: int, emission: str = "gaussian", start: str = "free") -> None:
    """As ``hidden_markov``, with the path written out by NumPyro's ``scan``."""
    steps = np.asarray(x, float).reshape(-1, x.shape[-1])
    mean, variance = np.nanmean(steps, 0), np.nanvar(steps, 0)
    if emission == "gaussian":
        proportion = variance * states ** (-2 / x.shape[-1])
        spread = scatter_rate("scale_rate", proportion, steps, states)
    with numpyro.plate("state", states):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(states)))
        if emission == "poisson":
            rate = numpyro.sample("rate", dist.Gamma(1.5, 1.5 / mean).to_event(1))
        else:
            loc = numpyro.sample("loc", dist.Normal(mean, 2 * np.sqrt(variance)).to_event(1))
            scale = numpyro.sample("scale", InverseGammaScale(2.0, spread).to_event(1))
    if start == "free":
        initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(states)))
    else:  # long after it began
        initial = jnp.linalg.matrix_power(transition, 2**14)[0]
    table = jnp.concatenate([transition, initial[None]])  # the first state's row is the last

    def step(before: Any, values: Any) -> tuple[Any, None]:
        with numpyro.plate("sequence", len(x)):
            z = numpyro.sample("z", dist.Categorical(table[before]))
            if emission == "poisson":
                emitted = dist.Poisson(rate[z]).to_event(1)
            else:
                emitted = dist.Normal(loc[z], scale[z]).to_event(1)
            with numpyro.handlers.mask(mask=~jnp.isnan(values).any(-1)):
                numpyro.sample("x", emitted, obs=jnp.nan_to_num(values))
        return z, None

    scan(step, jnp.full(len(x), states), jnp.asarray(x, float).swapaxes(0, 1))


def hidden_pairs(x: Any, *, states: int, emission: str, order: int) -> None:
    """As ``hidden_markov`` of second order over counts, all steps of all paths written out."""
    assert (emission, order) == ("poisson", 2)
    initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(states)))
    rows = dist.Dirichlet(jnp.ones(states))
    with numpyro.plate("state", states):
        second = numpyro.sample("initial_transition", rows)
        rate = numpyro.sample("rate", dist.Gamma(1.5, 1.5 / x.mean((0, 1))).to_event(1))
    with numpyro.plate("before", states):
        transition = numpyro.sample("transition", rows.expand((states,)).to_event(1))
    with numpyro.plate("sequence", len(x)):
        path: list[Any] = []
        for t in range(x.shape[1]):
            table = initial if t == 0 else second[path[0]] if t == 1 else transition[*path[-2:]]
            path.append(numpyro.sample(f"z{t}", dist.Categorical(table)))
            numpyro.sample(f"x{t}", dist.Poisson(rate[path[t], 0]), obs=x[:, t, 0])


def hidden_tokens(tokens: Any, *, states: int, vocabulary: int) -> None:
    """As ``hidden_token_chain``: the end is a state that is not left and writes ``<end>``."""
    initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(states)))
    with numpyro.plate("state", states):
        transition = numpyro.sample("transition", even(states + 1, states))
        probs = numpyro.sample("probs", even(vocabulary, states))
    end = jnp.zeros((1, states + 1)).at[0, states].set(1)
    table = jnp.concatenate([transition, end, jnp.append(initial, 0)[None]])
    written = jnp.zeros((states + 1, vocabulary + 1)).at[:states, :vocabulary].set(probs)
    written = written.at[states, vocabulary].set(1)

    def step(before: Any, here: Any) -> tuple[Any, None]:
        with numpyro.plate("sequence", len(tokens)):
            z = numpyro.sample("z", dist.Categorical(table[before]))
            numpyro.sample("tokens", dist.Categorical(written[z]), obs=here)
        return z, None

    scan(step, jnp.full(len(tokens), states + 1), jnp.asarray(tokens).T)


def ordered(tokens: Any, *, vocabulary: int, order: int) -> None:
    """As ``ordered_chain`` of order 2, every context a row of its own in a table of pairs."""
    assert order == 2
    initial = numpyro.sample("initial", even(vocabulary))
    with numpyro.plate("context", vocabulary + vocabulary**2):
        transition = numpyro.sample("transition", even(vocabulary + 1))
    pairs = transition[vocabulary:].reshape(vocabulary, vocabulary, vocabulary + 1)
    inside = jnp.minimum(tokens, vocabulary - 1)
    with numpyro.plate("sequence", len(tokens)):
        numpyro.sample("first", dist.Categorical(initial), obs=tokens[:, 0])
        for t in range(1, tokens.shape[1]):
            here = inside[:, t - 1]
            rows = transition[here] if t == 1 else pairs[inside[:, t - 2], here]
            step = dist.Categorical(rows).mask(tokens[:, t - 1] < vocabulary)
            numpyro.sample(f"step {t}", step, obs=tokens[:, t])


def chains(tokens: Any, *, clusters: int, vocabulary: int) -> None:
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        initial = numpyro.sample("initial", even(vocabulary, clusters))
        rows = even(vocabulary + 1, clusters).expand((vocabulary,)).to_event(1)
        transition = numpyro.sample("transition", rows)
    with numpyro.plate("sequence", len(tokens)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("first", dist.Categorical(initial[z]), obs=tokens[:, 0])
        for t in range(1, tokens.shape[1]):
            before = tokens[:, t - 1]
            step = dist.Categorical(transition[z, jnp.minimum(before, vocabulary - 1)])
            numpyro.sample(f"step {t}", step.mask(before < vocabulary), obs=tokens[:, t])


def recurrent(
    tokens: Any, *, vocabulary: int, embedding: int, hidden: int, cell: str = "gru"
) -> None:
    """As ``recurrent_chain``, one gate after the other and one token after the other."""
    gates = {"gru": 3, "lstm": 4}[cell]

    def normal(name: str, shape: tuple[int, ...], inputs: int = 1, loc: Any = 0.0) -> Any:
        prior = dist.Normal(loc, inputs**-0.5).expand(shape)
        return numpyro.sample(name, prior.to_event(len(shape)))

    table = normal("embedding", (vocabulary, embedding))
    start = normal("start", (hidden,))
    inward = normal("input", (embedding, gates, hidden), embedding)
    back = normal("recurrent", (hidden, gates, hidden), hidden)
    centre = jnp.zeros((gates, hidden)).at[1].set(float(cell == "lstm"))
    bias = normal("bias", (gates, hidden), loc=centre)
    output = normal("output", (hidden, vocabulary + 1), hidden)
    output_bias = normal("output_bias", (vocabulary + 1,))
    with numpyro.plate("sequence", len(tokens)):
        h, c = jnp.tanh(start)[None], start[None]
        open_row = jnp.ones(len(tokens), bool)
        for t in range(tokens.shape[1]):
            logits = h @ output + output_bias
            if t == 0:
                logits = logits.at[..., vocabulary].set(-jnp.inf)
            step = dist.Categorical(logits=logits).mask(open_row)
            numpyro.sample(f"step {t}", step, obs=tokens[:, t])
            open_row = open_row & (tokens[:, t] < vocabulary)
            e = table[jnp.minimum(tokens[:, t], vocabulary - 1)]
            a = [e @ inward[:, g] + bias[g] for g in range(gates)]
            u = [h @ back[:, g] for g in range(gates)]
            if cell == "gru":
                r, z = 1 / (1 + jnp.exp(-a[0] - u[0])), 1 / (1 + jnp.exp(-a[1] - u[1]))
                h = (1 - z) * jnp.tanh(a[2] + r * u[2]) + z * h
            else:
                i, f, o = (1 / (1 + jnp.exp(-a[g] - u[g])) for g in range(3))
                c = f * c + i * jnp.tanh(a[3] + u[3])
                h = o * jnp.tanh(c)
