"""Small programs of the shapes that are served, by Hypothesis, and what bare NumPyro says of them.

A program is described by a :class:`Draft`. It is given whole data and told which cells to leave out
(``seen``) where NumPyro runs it by itself, and data with NaN where this package reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from hypothesis import strategies as st
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam

ROWS = 7
PARALLEL = {"enumerate": "parallel"}
TIME = np.array([-1.1, 0.3, 0.0, 0.9, -0.4, 1.7, -2.0])
CLOSED = np.array([0.5, -0.5, 1.0, 0.0, 0.2, -1.0, 0.7])
WEIGHT = np.array([1.0, 0.4, 2.0, 1.7, 0.1, 1.0, 3.0])
SCALAR = ("normal", "regression", "bernoulli", "poisson", "categorical", "student")
VECTOR = ("diagonal", "multivariate")
EMISSIONS = SCALAR + VECTOR
GROUP = np.array([0, 1, 1, 0, 0, 1, 0])
WEIGHTS = (
    "dirichlet",
    "logits",
    "stick",
    "covariate",
    "constant",
    "gamma",
    "reference",
    "group",
    "simplex of rows",
)
SHARED = ("plain", "do", "block", "reparam")
HANDLERS = ("scale", "scale by row", "scale by data", "mask", "mask by row")
COVARIANCE = np.array([[1.0, 0.6], [0.6, 2.0]])


@dataclass(frozen=True)
class Draft:
    """What a program is made of.

    Args:
        clusters: values of the discrete site.
        weights: how its probabilities are written.
        second: another discrete site of the rows: none, "alone", or "within" the first.
        emissions: of the sites "x" and "y".
        handler: of NumPyro, or none.
        around: what it is around: "program", "rows", "discrete", "x", "prior".
        constant: what differs from row to row: none, "arange" or "closed".
        gaps: whether some cells are missing.
        shared: a site that all rows share, under a handler that changes what it is: none, "plain",
            "do", "block" or "reparam".
    """

    clusters: int
    weights: str
    second: str | None
    emissions: tuple[str, ...]
    handler: str | None
    around: str
    constant: str | None
    gaps: bool
    shared: str | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Number of values of every discrete site."""
        return {"z": self.clusters} | ({"u": 2} if self.second else {})

    @property
    def combinations(self) -> list[dict[str, int]]:
        """The values of the discrete sites together, the last site's the fastest."""
        values = product(*map(range, self.sizes.values()))
        return [dict(zip(self.sizes, v, strict=True)) for v in values]

    @property
    def sites(self) -> dict[str, str]:
        """Emission of every observed site."""
        return dict(zip("xy", self.emissions, strict=False))

    @property
    def has_covariate(self) -> bool:
        return "regression" in self.emissions or self.weights == "covariate"


@st.composite
def drafts(draw: Callable, *, row_handlers: bool = True) -> Draft:
    """Programs; those with two sites may have one cluster, which is a site that is known."""
    handler = draw(st.sampled_from((None, *HANDLERS)))
    around = draw(st.sampled_from(("rows", "program", "discrete", "x", "prior")))
    if handler and " by " in handler and around in ("program", "prior"):
        around = "rows"  # as long as the rows are, and priors are not
    clusters = draw(st.integers(1, 3))
    weights = draw(
        st.sampled_from([w for w in WEIGHTS if clusters > 1 or w not in ("stick", "reference")])
    )
    emissions = draw(st.lists(st.sampled_from(EMISSIONS), min_size=1, max_size=2))
    return Draft(
        clusters,
        weights,
        draw(st.sampled_from((None, "alone", "within"))),
        tuple(emissions),
        handler,
        around,
        draw(st.sampled_from((None, "arange", "closed"))),
        draw(st.booleans()),
        draw(st.sampled_from((None, *SHARED))),
    )


# ---- the program -------------------------------------------------------------------------------


def program_of(draft: Draft, seen: dict[str, Any] | None = None) -> Callable:
    """The program as a function of its data; ``seen`` are the cells that NumPyro is to count."""
    k = draft.clusters

    def handled(place: str, weight: Any = None) -> ExitStack:
        stack = ExitStack()
        if draft.handler and draft.around == place:
            stack.enter_context(
                {
                    "scale": lambda: handlers.scale(scale=2.5),
                    "scale by row": lambda: handlers.scale(scale=WEIGHT),
                    "scale by data": lambda: handlers.scale(scale=weight),
                    "mask": lambda: handlers.mask(mask=False),
                    "mask by row": lambda: handlers.mask(mask=WEIGHT > 0.5),
                }[draft.handler]()
            )
        return stack

    def priors() -> dict[str, Any]:
        actual: dict[str, Any] = {}
        if draft.weights == "dirichlet":
            actual["w"] = numpyro.sample("w", dist.Dirichlet(jnp.full(k, 2.0)))
        if draft.weights == "logits":
            actual["w"] = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([k]).to_event(1))
        if draft.weights == "stick":
            with numpyro.plate("stick", k - 1):
                actual["w"] = numpyro.sample("w", dist.Beta(1.0, 2.0))
        if draft.weights == "reference":
            free = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([k - 1]).to_event(1))
            actual["w"] = jnp.concatenate([jnp.zeros(1), free])
        if draft.weights in ("group", "simplex of rows"):
            with numpyro.plate("group", 2):
                actual["w"] = numpyro.sample("w", dist.Dirichlet(jnp.full(k, 2.0)))
        if draft.shared:
            actual["shared"] = _shared(draft.shared)
        with numpyro.plate("cluster", k):
            if draft.weights == "gamma":
                actual["w"] = numpyro.sample("w", dist.Gamma(2.0, 1.0))
            if draft.weights == "covariate":
                actual["w"] = numpyro.sample("w", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
            if draft.second:
                actual["v"] = numpyro.sample("v", dist.Beta(2.0, 2.0))
            for site, kind in draft.sites.items():
                actual[site] = numpyro.sample(f"{site}_value", _prior(kind))
        return actual

    def discrete(actual: dict[str, Any], t: Any) -> tuple[Any, Any]:
        w = actual.get("w")
        chosen = {
            "dirichlet": lambda: dist.Categorical(probs=w),
            "logits": lambda: dist.Categorical(logits=w),
            "stick": lambda: dist.Categorical(
                probs=numpyro.distributions.transforms.StickBreakingTransform()(
                    jnp.log(w / (1 - w))
                )
            ),
            "covariate": lambda: dist.Categorical(logits=w[:, 0] + w[:, 1] * t[:, None]),
            "gamma": lambda: dist.Categorical(probs=w / w.sum()),
            "reference": lambda: dist.Categorical(logits=w),
            "group": lambda: dist.Categorical(probs=w[GROUP]),
            "simplex of rows": lambda: dist.Categorical(logits=jnp.log(w[0]) * TIME[:, None]),
            "constant": lambda: dist.Categorical(probs=jnp.arange(1.0, k + 1) / (k * (k + 1) / 2)),
        }[draft.weights]()
        z = numpyro.sample("z", chosen, infer=PARALLEL)
        if not draft.second:
            return z, 0.0
        proportion = actual["v"][z] if draft.second == "within" else 0.3
        return z, numpyro.sample("u", dist.Bernoulli(proportion), infer=PARALLEL)

    def run(x: Any = None, y: Any = None, t: Any = None, weight: Any = None) -> None:
        data = {"x": x, "y": y}
        with handled("program"):
            with handled("prior"):
                actual = priors()
            with numpyro.plate("row", ROWS), handled("rows", weight):
                with handled("discrete", weight):
                    z, u = discrete(actual, t)
                shift = 0.8 * u + actual.get("shared", 0.0)
                if draft.constant == "arange":
                    shift = shift + 0.3 * jnp.arange(ROWS)
                if draft.constant == "closed":
                    shift = shift + CLOSED
                for site, kind in draft.sites.items():
                    cells = None if seen is None else seen[site]
                    emission = _emission(kind, actual[site][z], jnp.asarray(shift), t, cells)
                    with handled(site, weight):
                        numpyro.sample(site, emission, obs=data[site])

    return run


def _shared(kind: str) -> Any:
    """One number of all rows: a site, or set by ``do``, hidden, moved."""

    def site() -> Any:
        return numpyro.sample("shared", dist.Normal(0.5, 2.0))

    return {
        "plain": site,
        "do": handlers.do(site, data={"shared": 0.4}),
        "block": handlers.block(handlers.seed(site, 0), hide=["shared"]),
        "reparam": handlers.reparam(site, config={"shared": LocScaleReparam(0)}),
    }[kind]()


def _prior(kind: str) -> Any:
    wide = dist.Normal(0.0, 3.0)
    return {
        "normal": wide,
        "regression": wide.expand([2]).to_event(1),
        "bernoulli": wide,
        "poisson": dist.Gamma(2.0, 0.5),
        "categorical": dist.Dirichlet(jnp.ones(3)),
        "student": wide,
        "diagonal": wide.expand([2]).to_event(1),
        "multivariate": wide.expand([2]).to_event(1),
    }[kind]


def _emission(kind: str, value: Any, shift: Any, t: Any, seen: Any) -> Any:
    """The distribution of one site's rows, of which cells that are not ``seen`` do not count."""
    if kind == "regression":
        made = dist.Normal(value[..., 0] + value[..., 1] * t + shift, 0.7)
    elif kind == "categorical":
        made = dist.Categorical(logits=jnp.log(value) + shift[..., None] * jnp.arange(3))
    elif kind == "diagonal":
        loc, scale = value + shift[..., None], jnp.array([0.5, 1.5])
        cells = dist.Normal(loc, scale)
        return (cells if seen is None else cells.mask(seen)).to_event(1)
    elif kind == "multivariate":
        loc = value + shift[..., None]
        if seen is None:
            return dist.MultivariateNormal(loc, COVARIANCE)
        # missing cells are independent, and at their mean: each has the density of ``UNSEEN``
        both = seen[:, :, None] & seen[:, None, :]
        covariance = jnp.where(both, COVARIANCE, jnp.eye(2))
        return dist.MultivariateNormal(jnp.where(seen, loc, 0.0), covariance)
    else:
        made = {
            "normal": lambda: dist.Normal(value + shift, 1.3),
            "bernoulli": lambda: dist.Bernoulli(logits=value + shift),
            "poisson": lambda: dist.Poisson(value * jnp.exp(shift / 2)),
            "student": lambda: dist.StudentT(4.0, value + shift, 0.6),
        }[kind]()
    return made if seen is None else made.mask(seen)


UNSEEN = -0.5 * np.log(2 * np.pi)  #: log-density of a standard normal at its mean


def data_of(draft: Draft) -> tuple[dict[str, Any], dict[str, Any]]:
    """Whole data by parameter, and which of their cells are observed."""
    rng = np.random.default_rng(3)
    made: dict[str, Any] = {}
    seen = {}
    for site, kind in draft.sites.items():
        if kind in VECTOR:
            made[site] = 3 * rng.normal(size=(ROWS, 2))
        elif kind in ("bernoulli", "poisson", "categorical"):
            made[site] = rng.integers(
                0, {"bernoulli": 2, "poisson": 9, "categorical": 3}[kind], ROWS
            )
        else:
            made[site] = 3 * rng.normal(size=ROWS)
        seen[site] = np.ones(np.shape(made[site]), bool)
        if draft.gaps:
            seen[site][2] = False
            seen[site].ravel()[::5] = False
        if kind == "multivariate":
            made[site] = np.where(seen[site], made[site], 0.0)
    made |= {"t": TIME} if draft.has_covariate else {}
    return made | ({"weight": WEIGHT} if draft.handler == "scale by data" else {}), seen


def with_gaps(data: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """What this package is given: NaN in cells that are missing, of whole numbers too."""
    return {
        n: v if n not in seen or seen[n].all() else np.where(seen[n], v, np.nan)
        for n, v in data.items()
    }


# ---- bare NumPyro ------------------------------------------------------------------------------


def by_numpyro(draft: Draft, values: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
    """``log p(z, u, rows)`` of every combination, ``(combination, row)``, and the log prior."""
    data, seen = data_of(draft)
    run = program_of(draft, seen if draft.gaps else None)
    table, prior = [], jnp.zeros(())
    for combination in draft.combinations:
        held = {n: jnp.full(ROWS, v) for n, v in combination.items()}
        program = handlers.seed(handlers.substitute(run, data={**values, **held}), 0)
        trace = handlers.trace(program).get_trace(**data)
        total, prior = jnp.zeros(ROWS), jnp.zeros(())
        for name, site in trace.items():
            if site["type"] != "sample":
                continue
            density = site["fn"].log_prob(site["value"])
            if draft.gaps and draft.sites.get(name) == "multivariate":
                density = density - _unseen(site["fn"], seen[name])
            density = density if site["scale"] is None else site["scale"] * density
            if name in held or name in draft.sites:
                total = total + density
            else:
                prior = prior + density.sum()
        table.append(total)
    return jnp.stack(table), prior


def _unseen(fn: Any, seen: np.ndarray) -> Any:
    """What missing cells add to a row's log-density where it is not masked."""
    counted = fn._mask if isinstance(fn, dist.distribution.MaskedDistribution) else True
    return jnp.where(counted, UNSEEN * (~seen).sum(1), 0.0)
