"""The programs of pictures once more, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def bits_of(x: Any, logits: Callable) -> None:
    """Each bit given those before; ``logits(d)`` of all rows."""
    with numpyro.plate("row", len(x)):
        for d in range(x.shape[1]):
            numpyro.sample(f"bit {d}", dist.Bernoulli(logits=logits(d)), obs=x[:, d])


def logistic_scan(x: Any) -> None:
    count = x.shape[1]
    coupling = numpyro.sample(
        "coupling", dist.Normal().expand((count * (count - 1) // 2,)).to_event(1)
    )
    bias = numpyro.sample("bias", dist.Normal(0.0, 2.0).expand((count,)).to_event(1))
    first = [d * (d - 1) // 2 for d in range(count)]
    bits_of(x, lambda d: bias[d] + (x[:, :d] - 0.5) @ coupling[first[d] : first[d] + d])


def nade(x: Any, *, hidden: int) -> None:
    def normal(name: str, scale: float, *shape: int) -> Any:
        return numpyro.sample(name, dist.Normal(0.0, scale).expand(shape).to_event(len(shape)))

    count = x.shape[1]
    inward, bias = normal("inward", 1.0, count, hidden), normal("bias", 2.0, hidden)
    outward, outward_bias = (
        normal("outward", 1.0, count, hidden),
        normal("outward_bias", 2.0, count),
    )

    def logits(d: int) -> Any:
        total = bias + (x[:, :d] - 0.5) @ inward[:d]
        return outward_bias[d] + (1 / (1 + jnp.exp(-total))) @ outward[d]

    bits_of(x, logits)


def pixel_recurrent(x: Any, *, embedding: int, hidden: int) -> None:
    def normal(name: str, inputs: int, *shape: int) -> Any:
        prior = dist.Normal(0.0, inputs**-0.5).expand(shape)
        return numpyro.sample(name, prior.to_event(len(shape)))

    table, start = normal("embedding", 1, 2, embedding), normal("start", 1, hidden)
    inward = normal("input", embedding, embedding, 3, hidden)
    back = normal("recurrent", hidden, hidden, 3, hidden)
    bias = normal("bias", 1, 3, hidden)
    output, output_bias = normal("output", hidden, hidden, 2), normal("output_bias", 1, 2)
    h = [jnp.tanh(start)[None]]
    for d in range(x.shape[1]):
        e = table[x[:, d]]
        a, u = ([v @ w[:, g] for g in range(3)] for v, w in ((e, inward), (h[-1], back)))
        r, z = (1 / (1 + jnp.exp(-a[g] - bias[g] - u[g])) for g in (0, 1))
        h.append((1 - z) * jnp.tanh(a[2] + bias[2] + r * u[2]) + z * h[-1])
    scores = [h[d] @ output + output_bias for d in range(x.shape[1])]
    bits_of(x, lambda d: scores[d][..., 1] - scores[d][..., 0])
