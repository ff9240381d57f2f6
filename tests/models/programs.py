"""Every built-in program: data, arguments, and the same program with NumPyro's distributions.

A new program needs one row here, else ``test_programs.py`` fails.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan

from ppl_models.distributions import BlockDirichlet, InverseGammaScale

CLUSTERS = 2
_generator = np.random.default_rng(11)
_cluster = np.arange(14) % CLUSTERS
X = _generator.normal(size=(14, 2)) * [1.0, 0.5] + np.array([[0.0, 1.0], [5.0, -2.0]])[_cluster]
BITS = _generator.binomial(1, np.array([[0.9, 0.8, 0.2], [0.2, 0.1, 0.7]])[_cluster])
LEVELS = (2, 3)
CODES = np.column_stack(
    [
        _generator.binomial(1, np.array([0.9, 0.2])[_cluster]),
        _generator.binomial(2, np.array([0.8, 0.1])[_cluster]),
    ]
)
COUNTS = _generator.poisson(np.array([[2.0, 6.0], [9.0, 1.0]])[_cluster])
TOKENS = np.array(
    [
        [0, 1, 2, 3, 3],
        [1, 1, 3, 3, 3],
        [2, 0, 0, 1, 3],
        [0, 3, 3, 3, 3],
        [2, 2, 1, 3, 3],
        [1, 0, 3, 3, 3],
        [0, 0, 2, 1, 3],
        [2, 3, 3, 3, 3],
    ]
)
_state = np.array([[0, 0, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 1], [0, 0, 0, 1, 1]])
SERIES = _generator.normal(size=(4, 5, 2)) + np.array([[0.0, 1.0], [5.0, -2.0]])[_state]
SERIES[1, 4] = SERIES[2, 2:] = np.nan  # shorter sequences
SERIES[0, 2] = np.nan  # a step that is missing
COUNT_SERIES = _generator.poisson(np.array([[2.0], [9.0]])[_state])


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    path = Path(__file__).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(f"model_{name}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


graphs = _beside("graph_programs")
SEQUENCES = ["abc", "bb", "caab", "a", "ccb", "ba", "aacb", "c"]


@dataclass(frozen=True)
class Program:
    """One row of the table.

    Args:
        name: of the program in the catalogue.
        variant: what is special about the row.
        data: as the program receives them.
        arguments: of the program.
        site: name of the data site.
        standard: the same program with NumPyro's own distributions.
        absent: further arguments with which the program generates without data.
        generated: shape of one generated data set.
        sites: names of the global sites.
        given: data as a person gives them to ``fit`` (default: the same).
        fit_arguments: arguments of ``fit`` (default: the program's).
        interior: hyper-parameters that keep posterior modes off the boundary.
        point: the method that finds a mode.
        plate: over the rows (default: "sequence" for tokens, else "row").
    """

    name: str
    variant: str
    data: np.ndarray
    arguments: dict[str, Any]
    standard: Callable
    absent: dict[str, Any]
    generated: tuple[int, ...]
    sites: tuple[str, ...]
    site: str = "x"
    given: Any = None
    fit_arguments: dict[str, Any] | None = None
    interior: dict[str, Any] = field(default_factory=dict)
    point: str = "em"
    plate: str = ""

    @property
    def label(self) -> str:
        """Name and variant."""
        return f"{self.name} {self.variant}".strip()

    @property
    def kwargs(self) -> dict[str, Any]:
        """Everything that the program is called with, data included."""
        return {self.site: self.data, **self.arguments}

    @property
    def options(self) -> dict[str, Any]:
        """The program's arguments as ``fit`` is given them."""
        chosen = self.arguments if self.fit_arguments is None else self.fit_arguments
        return {**chosen, **self.interior}

    @property
    def to_fit(self) -> Any:
        """The data for ``fit``."""
        return self.data if self.given is None else self.given


def _weights(clusters: int, concentration: float = 1.0) -> Any:
    return numpyro.sample("weights", dist.Dirichlet(jnp.full(clusters, concentration)))


def _assignment(weights: Any) -> Any:
    return numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})


def _gaussian(x: Any, *, clusters: int, covariance: str = "full") -> None:
    """As ``gaussian_mixture``, its default priors written out."""
    x = jnp.asarray(x)
    mean, variance = x.mean(0), x.var(0)
    weights = _weights(clusters)
    if x.ndim == 1:
        with numpyro.plate("cluster", clusters):
            loc = numpyro.sample("loc", dist.Normal(mean, 2 * jnp.sqrt(variance)))
            scale = numpyro.sample("scale", InverseGammaScale(2.0, variance / clusters**2))
        with numpyro.plate("row", len(x)):
            z = _assignment(weights)
            numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)
        return
    features = x.shape[1]
    share = variance * clusters ** (-2 / features)
    wishart = dist.InverseWishart(features + 2.0, scale_matrix=jnp.diag(share))
    if covariance == "tied":
        tied = numpyro.sample("covariance", wishart)
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(mean, 2 * jnp.sqrt(variance)).to_event(1))
        if covariance == "spherical":
            scale = numpyro.sample("scale", InverseGammaScale(2.0, share.mean()))
        elif covariance == "diagonal":
            scale = numpyro.sample("scale", InverseGammaScale(2.0, share).to_event(1))
        elif covariance == "full":
            full = numpyro.sample("covariance", wishart)
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        if covariance == "spherical":
            emission = dist.Normal(loc[z], scale[z][..., None]).to_event(1)
        elif covariance == "diagonal":
            emission = dist.Normal(loc[z], scale[z]).to_event(1)
        elif covariance == "tied":
            emission = dist.MultivariateNormal(loc[z], tied)
        else:
            emission = dist.MultivariateNormal(loc[z], full[z])
        numpyro.sample("x", emission, obs=x)


def _bernoulli(x: Any, *, clusters: int) -> None:
    weights = _weights(clusters)
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", dist.Beta(1.0, 1.0).expand((x.shape[1],)).to_event(1))
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        numpyro.sample("x", dist.Bernoulli(probs[z]).to_event(1), obs=x)


def _categorical(x: Any, *, clusters: int, levels: tuple[int, ...]) -> None:
    weights = _weights(clusters)
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", BlockDirichlet(jnp.ones(sum(levels)), levels))
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        first, second = probs[z][..., : levels[0]], probs[z][..., levels[0] :]
        numpyro.sample("x first", dist.Categorical(first), obs=x[:, 0])
        numpyro.sample("x second", dist.Categorical(second), obs=x[:, 1])


def _poisson(x: Any, *, clusters: int) -> None:
    weights = _weights(clusters)
    mean = jnp.asarray(x, float).mean(0)
    prior = dist.Gamma(1.5, 1.5 / mean)
    with numpyro.plate("cluster", clusters):
        rate = numpyro.sample("rate", prior if x.ndim == 1 else prior.to_event(1))
    with numpyro.plate("row", len(x)):
        z = _assignment(weights)
        emission = dist.Poisson(rate[z])
        numpyro.sample("x", emission if x.ndim == 1 else emission.to_event(1), obs=x)


def _chain(tokens: Any, *, vocabulary: int) -> None:
    initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(vocabulary)))
    with numpyro.plate("token", vocabulary):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(vocabulary + 1)))
    with numpyro.plate("sequence", len(tokens)):
        numpyro.sample("first", dist.Categorical(initial), obs=tokens[:, 0])
        for t in range(1, tokens.shape[1]):
            before = tokens[:, t - 1]
            step = dist.Categorical(transition[jnp.minimum(before, vocabulary - 1)])
            numpyro.sample(f"step {t}", step.mask(before < vocabulary), obs=tokens[:, t])


def _hidden(x: Any, *, states: int, emission: str = "gaussian", start: str = "free") -> None:
    """As ``hidden_markov``, with the path written out by NumPyro's ``scan``."""
    steps = np.asarray(x, float).reshape(-1, x.shape[-1])
    mean, variance = np.nanmean(steps, 0), np.nanvar(steps, 0)
    with numpyro.plate("state", states):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(states)))
        if emission == "poisson":
            rate = numpyro.sample("rate", dist.Gamma(1.5, 1.5 / mean).to_event(1))
        else:
            share = variance * states ** (-2 / x.shape[-1])
            loc = numpyro.sample("loc", dist.Normal(mean, 2 * np.sqrt(variance)).to_event(1))
            scale = numpyro.sample("scale", InverseGammaScale(2.0, share).to_event(1))
    if start == "free":
        initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(states)))
    else:  # long after it began
        initial = jnp.linalg.matrix_power(transition, 2**14)[0]
    table = jnp.concatenate([transition, initial[None]])  # the first state's row is the last

    def step(before: Any, given: Any) -> tuple[Any, None]:
        with numpyro.plate("sequence", len(x)):
            z = numpyro.sample("z", dist.Categorical(table[before]))
            if emission == "poisson":
                emitted = dist.Poisson(rate[z]).to_event(1)
            else:
                emitted = dist.Normal(loc[z], scale[z]).to_event(1)
            with numpyro.handlers.mask(mask=~jnp.isnan(given).any(-1)):
                numpyro.sample("x", emitted, obs=jnp.nan_to_num(given))
        return z, None

    scan(step, jnp.full(len(x), states), jnp.asarray(x, float).swapaxes(0, 1))


def _hidden_pairs(x: Any, *, states: int, emission: str, order: int) -> None:
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


def _hidden_tokens(tokens: Any, *, states: int, vocabulary: int) -> None:
    """As ``hidden_token_chain``: the end is a state that is not left and writes ``<end>``."""
    initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(states)))
    with numpyro.plate("state", states):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(states + 1)))
        probs = numpyro.sample("probs", dist.Dirichlet(jnp.ones(vocabulary)))
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


def _ordered(tokens: Any, *, vocabulary: int, order: int) -> None:
    """As ``ordered_chain`` of order 2, every context a row of its own in a table of pairs."""
    assert order == 2
    initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(vocabulary)))
    with numpyro.plate("context", vocabulary + vocabulary**2):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(vocabulary + 1)))
    pairs = transition[vocabulary:].reshape(vocabulary, vocabulary, vocabulary + 1)
    inside = jnp.minimum(tokens, vocabulary - 1)
    with numpyro.plate("sequence", len(tokens)):
        numpyro.sample("first", dist.Categorical(initial), obs=tokens[:, 0])
        for t in range(1, tokens.shape[1]):
            here = inside[:, t - 1]
            rows = transition[here] if t == 1 else pairs[inside[:, t - 2], here]
            step = dist.Categorical(rows).mask(tokens[:, t - 1] < vocabulary)
            numpyro.sample(f"step {t}", step, obs=tokens[:, t])


def _chains(tokens: Any, *, clusters: int, vocabulary: int) -> None:
    weights = _weights(clusters)
    with numpyro.plate("cluster", clusters):
        initial = numpyro.sample("initial", dist.Dirichlet(jnp.ones(vocabulary)))
        rows = dist.Dirichlet(jnp.ones((vocabulary, vocabulary + 1))).to_event(1)
        transition = numpyro.sample("transition", rows)
    with numpyro.plate("sequence", len(tokens)):
        z = _assignment(weights)
        numpyro.sample("first", dist.Categorical(initial[z]), obs=tokens[:, 0])
        for t in range(1, tokens.shape[1]):
            before = tokens[:, t - 1]
            step = dist.Categorical(transition[z, jnp.minimum(before, vocabulary - 1)])
            numpyro.sample(f"step {t}", step.mask(before < vocabulary), obs=tokens[:, t])


def _recurrent(
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


def _bits_of(x: Any, logits: Callable) -> None:
    """Each bit given those before; ``logits(d)`` of all rows."""
    with numpyro.plate("row", len(x)):
        for d in range(x.shape[1]):
            numpyro.sample(f"bit {d}", dist.Bernoulli(logits=logits(d)), obs=x[:, d])


def _logistic_scan(x: Any) -> None:
    count = x.shape[1]
    coupling = numpyro.sample(
        "coupling", dist.Normal().expand((count * (count - 1) // 2,)).to_event(1)
    )
    bias = numpyro.sample("bias", dist.Normal(0.0, 2.0).expand((count,)).to_event(1))
    first = [d * (d - 1) // 2 for d in range(count)]
    _bits_of(x, lambda d: bias[d] + (x[:, :d] - 0.5) @ coupling[first[d] : first[d] + d])


def _nade(x: Any, *, hidden: int) -> None:
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

    _bits_of(x, logits)


def _pixel_recurrent(x: Any, *, embedding: int, hidden: int) -> None:
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
    _bits_of(x, lambda d: scores[d][..., 1] - scores[d][..., 0])


def _pixel_row(name: str, arguments: dict[str, Any], standard: Callable, sites: tuple) -> Program:
    absent = {"rows": 5, "features": 3}
    return Program(name, "", BITS, arguments, standard, absent, (5, 3), sites, point="map")


RECURRENT_SITES = ("embedding", "start", "input", "recurrent", "bias", "output", "output_bias")


def _recurrent_row(cell: str) -> Program:
    return Program(
        "recurrent_chain",
        cell,
        TOKENS,
        {"vocabulary": 3, "embedding": 2, "hidden": 2, "cell": cell},
        _recurrent,
        {"sequences": 5, "positions": 9},
        (5, 9),
        RECURRENT_SITES,
        site="tokens",
        given=SEQUENCES,
        fit_arguments={"embedding": 2, "hidden": 2, "cell": cell},
        point="map",
    )


def _graph_row(
    name: str, standard: Callable, sites: tuple[str, ...], arguments: dict, **more: Any
) -> Program:
    return Program(
        name,
        "",
        graphs.DATA,
        {"width": graphs.WIDTH, **arguments},
        standard,
        {"graphs": 5, "positions": 9},
        (5, 9),
        sites,
        given=graphs.GRAPHS,
        plate="graph",
        **more,
    )


def _gaussian_row(covariance: str, scatter: str) -> Program:
    return Program(
        "gaussian_mixture",
        covariance,
        X,
        {"clusters": CLUSTERS, "covariance": covariance},
        _gaussian,
        {"rows": 5, "features": 3},
        (5, 3),
        ("weights", "loc", scatter),
        interior={"concentration": 2.0},
    )


PROGRAMS = [
    _gaussian_row("full", "covariance"),
    _gaussian_row("tied", "covariance"),
    _gaussian_row("diagonal", "scale"),
    _gaussian_row("spherical", "scale"),
    Program(
        "gaussian_mixture",
        "univariate",
        X[:, 0],
        {"clusters": CLUSTERS},
        _gaussian,
        {"rows": 5, "features": 1},
        (5,),
        ("weights", "loc", "scale"),
        interior={"concentration": 2.0},
    ),
    Program(
        "bernoulli_mixture",
        "",
        BITS,
        {"clusters": CLUSTERS},
        _bernoulli,
        {"rows": 5, "features": 3},
        (5, 3),
        ("weights", "probs"),
        interior={"concentration": 2.0, "ones": 2.0, "zeros": 1.5},
    ),
    Program(
        "categorical_mixture",
        "",
        CODES,
        {"clusters": CLUSTERS, "levels": LEVELS},
        _categorical,
        {"rows": 5},
        (5, 2),
        ("weights", "probs"),
        fit_arguments={"clusters": CLUSTERS},
        interior={"concentration": 2.0, "level_concentration": 1.5},
    ),
    Program(
        "poisson_mixture",
        "",
        COUNTS,
        {"clusters": CLUSTERS},
        _poisson,
        {"rows": 5, "features": 3},
        (5, 3),
        ("weights", "rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "poisson_mixture",
        "univariate",
        COUNTS[:, 0],
        {"clusters": CLUSTERS},
        _poisson,
        {"rows": 5, "features": 1},
        (5,),
        ("weights", "rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "hidden_markov",
        "",
        SERIES,
        {"states": 2},
        _hidden,
        {"sequences": 5, "positions": 9, "features": 3},
        (5, 9, 3),
        ("initial", "transition", "loc", "scale"),
        interior={"concentration": 2.0, "initial_concentration": 2.0},
    ),
    Program(
        "hidden_markov",
        "stationary",
        COUNT_SERIES,
        {"states": 2, "emission": "poisson", "start": "stationary"},
        _hidden,
        {"sequences": 5, "positions": 9, "features": 3},
        (5, 9, 3),
        ("transition", "rate"),
        interior={"concentration": 2.0},
    ),
    Program(
        "hidden_markov",
        "second order",
        COUNT_SERIES,
        {"states": 2, "emission": "poisson", "order": 2},
        _hidden_pairs,
        {"sequences": 5, "positions": 9, "features": 3},
        (5, 9, 3),
        ("initial", "initial_transition", "transition", "rate"),
        interior={"concentration": 2.0, "initial_concentration": 2.0},
    ),
    Program(
        "markov_chain",
        "",
        TOKENS,
        {"vocabulary": 3},
        _chain,
        {"sequences": 5, "positions": 9},
        (5, 9),
        ("initial", "transition"),
        site="tokens",
        given=SEQUENCES,
        fit_arguments={},
        interior={"initial_concentration": 2.0, "concentration": 1.5},
    ),
    Program(
        "hidden_token_chain",
        "",
        TOKENS,
        {"states": 2, "vocabulary": 3},
        _hidden_tokens,
        {"sequences": 5, "positions": 9},
        (5, 9),
        ("initial", "transition", "probs"),
        site="tokens",
        given=SEQUENCES,
        fit_arguments={"states": 2},
        interior={
            "initial_concentration": 2.0,
            "transition_concentration": 2.0,
            "concentration": 1.5,
        },
    ),
    Program(
        "ordered_chain",
        "",
        TOKENS,
        {"vocabulary": 3, "order": 2},
        _ordered,
        {"sequences": 5, "positions": 9},
        (5, 9),
        ("initial", "transition"),
        site="tokens",
        given=SEQUENCES,
        fit_arguments={"order": 2},
        interior={"initial_concentration": 2.0, "concentration": 1.5},
    ),
    Program(
        "chain_mixture",
        "",
        TOKENS,
        {"clusters": CLUSTERS, "vocabulary": 3},
        _chains,
        {"sequences": 5, "positions": 9},
        (5, 9),
        ("weights", "initial", "transition"),
        site="tokens",
        given=SEQUENCES,
        fit_arguments={"clusters": CLUSTERS},
        interior={
            "concentration": 2.0,
            "initial_concentration": 2.0,
            "transition_concentration": 1.5,
        },
    ),
    _recurrent_row("gru"),
    _recurrent_row("lstm"),
    _pixel_row("pixel_logistic", {}, _logistic_scan, ("coupling", "bias")),
    _pixel_row("nade", {"hidden": 2}, _nade, ("inward", "bias", "outward", "outward_bias")),
    _pixel_row("pixel_recurrent", {"embedding": 2, "hidden": 2}, _pixel_recurrent, RECURRENT_SITES),
    _graph_row(
        "graph_chain",
        graphs.chain,
        ("edge", "end"),
        {"nodes": graphs.NODES},
        fit_arguments={},
        interior={"edge_ones": 2.0, "edge_zeros": 1.5, "end_ones": 2.0, "end_zeros": 1.5},
    ),
    _graph_row(
        "logistic_graph_chain",
        graphs.logistic,
        ("edge", "end"),
        {},
        fit_arguments={},
        point="map",
    ),
    _graph_row(
        "recurrent_graph_chain",
        graphs.recurrent,
        graphs.RECURRENT_SITES,
        {"hidden": 2},
        fit_arguments={"hidden": 2},
        point="map",
    ),
]
