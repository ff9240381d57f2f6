"""What an iteration costs on the device that is there, and how exact single precision is on it.

``ppl-models bench --device`` prints both tables, anywhere. Log-densities in single precision are
compared with double precision on the same device, at the same parameters and rows.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from numpyro.infer.util import initialize_model

from ppl_models import distributions as families
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import e_step
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model

from . import em, hidden_markov, recurrent
from .timing import a_call

SWEEPS = 20
#: One row of mixtures: rows, features, clusters.
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Args:
        mixture: of EM.
        sequences: sequences and steps of the hidden Markov model.
        network: hidden units, rows and positions of a batch.
        draws: of Gibbs sweeps and gradients.
    """

    mixture: Size
    sequences: tuple[int, int]
    network: tuple[int, int, int]
    draws: tuple[Size, ...]


LARGE = Sizes(
    (2_000_000, 32, 64), (1_000, 1_000), (512, 512, 32), ((100_000, 16, 8), (1_000_000, 16, 8))
)
SMALL = Sizes((20_000, 8, 4), (20, 100), (16, 16, 8), ((5_000, 4, 3),))

HEADER = "| what | ms | aim, ms |\n|---|---:|---:|"
EXACTNESS = (
    "| relative error of log-densities in single precision | rows | of the sum | of the worst row |"
    "\n|---|---:|---:|---:|"
)


def device_name() -> str:
    """The device by its maker's name."""
    (first, *others) = jax.local_devices()
    return f"{first.device_kind} ({first.platform}, {1 + len(others)} of them)"


def _line(what: str, seconds: float, aim: str = "") -> str:
    return f"| {what} | {1e3 * seconds:,.3g} | {aim} |"


def _warm(run: Callable[[], float]) -> float:
    """Seconds, compilation and first allocations apart."""
    run()
    return run()


# ---- times ---------------------------------------------------------------------------------------


def mixtures(size: Size, *, aims: bool) -> Iterator[str]:
    """EM, and how far its objective is from that in double precision."""
    x, centres = em.data(*size)
    rows, features, clusters = size
    for covariance, aim in (("spherical", "≤ 3"), ("diagonal", ""), ("tied", ""), ("full", "≤ 40")):
        seconds = _warm(em.iterator(x, centres, covariance))
        what = f"EM iteration, {covariance}, {rows:,} × {features}, K={clusters}"
        yield _line(what, seconds, aim if aims else "")
        gc.collect()


def objective(x: np.ndarray, centres: np.ndarray, covariance: str, *, double: bool) -> float:
    """Log-density of all rows at the start of EM."""
    dtype = np.float64 if double else np.float32
    with jax.enable_x64(double):
        clusters, features = centres.shape
        arguments = {"clusters": clusters, "covariance": covariance}
        model = Model(gaussian_mixture, {"x": x.astype(dtype)}, arguments, {})
        problem = Problem(model, model.structure())
        values = {"weights": np.full(clusters, 1 / clusters), "loc": centres}
        if covariance == "spherical":
            values["scale"] = np.full(clusters, 1.25)
        else:
            # correlated, and not the same for all clusters
            spread = 0.5 * np.eye(features) + 0.5
            values["covariance"] = spread * np.linspace(1, 2, clusters)[:, None, None]
        sites = em.all_sites(problem.structure, values)
        single = {n: jnp.asarray(v, dtype) for n, v in sites.items()}

        @jax.jit
        def pass_over(values: Any, chunks: Any) -> Any:
            pieces = model.pieces(values, problem.structure)
            return e_step(pieces, problem.structure, chunks).log_normaliser

        return float(pass_over(single, problem.chunks))


def objectives(size: Size) -> Iterator[str]:
    """Relative errors of objectives in single precision."""
    x, centres = em.data(*size)
    for covariance in ("spherical", "full"):
        computed = objective(x, centres, covariance, double=False)
        exact = objective(x, centres, covariance, double=True)
        error = abs(computed - exact) / abs(exact)
        yield f"| objective of EM, {covariance} | {size[0]:,} | {error:.1e} | |"
        gc.collect()


def chains(size: tuple[int, int], *, aims: bool) -> Iterator[str]:
    """EM, and a draw of all paths, of a hidden Markov model."""
    sequences, steps = size
    x = hidden_markov.data(sequences, steps).astype(np.float32)
    start = x[0, : hidden_markov.STATES]
    what = f"{sequences:,} × {steps:,} × {x.shape[-1]}, {hidden_markov.STATES} states"
    seconds = _warm(hidden_markov.ours(x, start))
    yield _line(f"hidden Markov, EM iteration, {what}", seconds, "≤ 4" if aims else "")
    seconds = a_call(_path_draw(x, start))
    yield _line(f"hidden Markov, a draw of all paths, {what}", seconds)


def _path_draw(x: np.ndarray, start: np.ndarray) -> Callable[[], Any]:
    states = hidden_markov.STATES
    even = jnp.full((states, states), 1 / states)
    emission = families.DiagonalGaussian(jnp.asarray(start), jnp.ones(start.shape))
    model = families.HiddenMarkov(even[0], even, emission, positions=x.shape[1])
    draw, rows = (
        jax.jit(lambda key, rows: model.sample_states(key, rows)),
        jnp.asarray(x),
    )
    jax.block_until_ready(draw(random.key(0), rows))
    return lambda: jax.block_until_ready(draw(random.key(0), rows))


def network(size: tuple[int, int, int], *, aims: bool) -> Iterator[str]:
    """A step of training, and PyTorch's on the same device."""
    hidden, batch, positions = size
    codes = recurrent.rows_of(batch, positions)
    what = f"GRU training step, {batch} × {positions} letters, {hidden} units"
    ours = _warm(recurrent.stepper(hidden, codes))
    yield _line(what, ours, "≤ PyTorch's" if aims else "")
    if find_spec("torch") is not None:
        theirs = _warm(recurrent.peer(hidden, codes, on_gpu=jax.default_backend() == "gpu"))
        yield _line(f"{what}, PyTorch", theirs)


def draws(size: Size) -> Iterator[str]:
    """A Gibbs sweep, and value and gradient as NUTS asks for them."""
    rows, features, clusters = size
    x, centres = em.data(*size)
    model = Model(gaussian_mixture, {"x": x}, {"clusters": clusters, "covariance": "spherical"}, {})
    problem = Problem(model, model.structure())
    what = f"{rows:,} × {features}, K={clusters}, spherical"
    values = {
        "weights": jnp.full(clusters, 1 / clusters),
        "loc": jnp.asarray(centres),
        "scale": jnp.ones(clusters),
    }
    values = em.all_sites(problem.structure, values)
    kernel = StatisticsGibbs(problem)
    state = kernel.init(random.key(0), 0, values, (), {})

    @jax.jit
    def sweeps(state: Any) -> Any:
        return lax.fori_loop(0, SWEEPS, lambda _, s: kernel.sample(s, (), {}), state)

    jax.block_until_ready(sweeps(state))
    seconds = a_call(lambda: jax.block_until_ready(sweeps(state))) / SWEEPS
    yield _line(f"Gibbs sweep, {what}", seconds)
    initial = initialize_model(random.key(0), marginal_program(problem), validate_grad=False)
    gradient, at = jax.jit(jax.value_and_grad(initial.potential_fn)), initial.param_info.z
    jax.block_until_ready(gradient(at))
    seconds = a_call(lambda: jax.block_until_ready(gradient(at)))
    yield _line(f"value and gradient of NUTS, {what}", seconds)


# ---- exactness -----------------------------------------------------------------------------------


def _cases(rows: int) -> Iterator[tuple[str, Callable[[Any], Any], dict[str, Any], np.ndarray]]:
    """Name, family of parameters, parameters and rows."""
    generator = np.random.default_rng(3)
    k, d = 8, 32
    loc, x = generator.normal(0, 2, (k, 1, d)), generator.normal(0, 2, (rows, d))
    root = generator.normal(size=(k, 1, d, d))
    covariance = root @ np.swapaxes(root, -1, -2) / d + 0.3 * np.eye(d)
    scale = generator.uniform(0.5, 2, (k, 1, d))
    gaussian = {"loc": loc, "scale": scale}
    yield "univariate normal", _of(families.UnivariateGaussian), _first(gaussian), x[:, 0]
    yield (
        "spherical normal",
        _of(families.SphericalGaussian),
        gaussian | {"scale": scale[..., 0]},
        x,
    )
    yield "diagonal normal", _of(families.DiagonalGaussian), gaussian, x
    gaps = np.where(generator.random(x.shape) < 0.1, np.nan, x)
    yield "diagonal normal, missing cells", _of(families.DiagonalGaussian), gaussian, gaps
    tied = {"loc": loc, "covariance": covariance[0, 0]}
    yield "tied normal", _of(families.TiedGaussian), tied, x
    yield "full normal", _of(families.FullGaussian), {"loc": loc, "covariance": covariance}, x
    probs = generator.uniform(0.05, 0.95, (k, 1, d))
    bits = generator.integers(0, 2, (rows, d))
    yield "Bernoulli", _of(families.BernoulliVector), {"probs": probs}, bits
    levels = (3,) * d
    shares = generator.dirichlet(np.ones(3), (k, 1, d)).reshape(k, 1, -1)
    codes = generator.integers(0, 3, (rows, d))
    yield (
        "categorical",
        lambda p: families.CategoricalVector(p["probs"], levels),
        {"probs": shares},
        codes,
    )
    counts = generator.poisson(3, (rows, d))
    yield "Poisson", _of(families.PoissonVector), {"rate": 4 * probs}, counts
    yield from _sequences(generator, max(2, rows // 50))


def _sequences(generator: Any, rows: int) -> Iterator[tuple]:
    states, features, steps, tokens = 5, 2, 200, 12
    chain = {
        "initial": generator.dirichlet(np.ones(states)),
        "transition": generator.dirichlet(np.ones(states), states),
        "loc": generator.normal(0, 2, (states, features)),
        "scale": np.ones((states, features)),
    }

    def hidden(p: Any) -> Any:
        emission = families.DiagonalGaussian(p["loc"], p["scale"])
        return families.HiddenMarkov(p["initial"], p["transition"], emission, positions=steps)

    yield "hidden Markov", hidden, chain, generator.normal(0, 2, (rows, steps, features))
    codes = generator.integers(0, tokens, (rows, 32))
    codes[:, -1] = tokens
    start = generator.dirichlet(np.ones(tokens))
    table = generator.dirichlet(np.ones(tokens + 1), tokens)
    yield (
        "Markov chain of tokens",
        lambda p: families.TokenChain(p["initial"], p["transition"], positions=32),
        {"initial": start, "transition": table},
        codes,
    )
    for cell, gates in (("gru", 3), ("lstm", 4)):
        unit, short = 64, 8
        shapes = {
            "embedding": (tokens, short),
            "start": (unit,),
            "input": (short, gates, unit),
            "recurrent": (unit, gates, unit),
            "bias": (gates, unit),
            "output": (unit, tokens + 1),
            "output_bias": (tokens + 1,),
        }
        weights = {n: generator.normal(0, 0.2, s) for n, s in shapes.items()}
        yield (
            f"recurrent chain, {cell}",
            lambda p, cell=cell: families.RecurrentChain(**p, cell=cell, positions=32),
            weights,
            codes,
        )
    bits = generator.integers(0, 2, (rows, 100))
    weights = {"weights": generator.normal(0, 0.3, (100, 100)), "bias": generator.normal(size=100)}
    yield "logistic scan of pixels", _of(families.LogisticScan), weights, bits
    shapes = {"inward": (100, 20), "bias": (20,), "outward": (100, 20), "outward_bias": (100,)}
    weights = {n: generator.normal(0, 0.3, s) for n, s in shapes.items()}
    yield "NADE", _of(families.Nade), weights, bits


def _of(family: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda parameters: family(**parameters)


def _first(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: v[..., 0] for n, v in parameters.items()}


def exactness(rows: int) -> Iterator[str]:
    """Relative errors of log-densities: of their sum, and of the worst row.

    Rows of a log-density next to zero are measured by their error itself.
    """
    for name, family, parameters, value in _cases(rows):
        # (of numbers that are the same in both precisions)
        single = {n: np.asarray(v, np.float32) for n, v in parameters.items()}
        data = value.astype(np.float32) if value.dtype.kind == "f" else value.astype(np.int32)
        computed, exact = (
            _log_prob(family, single, data, False),
            _log_prob(family, single, data, True),
        )
        of_sum = abs(computed.sum() - exact.sum()) / abs(exact.sum())
        worst = (np.abs(computed - exact) / np.maximum(np.abs(exact), 1)).max()
        yield f"| {name} | {len(data):,} | {of_sum:.1e} | {worst:.1e} |"


def _log_prob(family: Callable, parameters: Any, data: np.ndarray, double: bool) -> np.ndarray:
    dtype = np.float64 if double else np.float32
    with jax.enable_x64(double):
        typed = {n: jnp.asarray(v, dtype) for n, v in parameters.items()}
        rows = jnp.asarray(data, dtype if data.dtype.kind == "f" else None)
        log_prob = jax.jit(lambda p, rows: family(p).log_prob(rows))(typed, rows)
        return np.asarray(log_prob, np.float64)


def run(sizes: Sizes) -> Iterator[str]:
    """Both tables, line by line."""
    aims = sizes is LARGE
    yield f"Single precision on {device_name()}; milliseconds in a loop, compilation apart."
    yield ""
    yield from HEADER.split("\n")
    yield from mixtures(sizes.mixture, aims=aims)
    yield from chains(sizes.sequences, aims=aims)
    yield from network(sizes.network, aims=aims)
    for size in sizes.draws:
        yield from draws(size)
    yield ""
    yield from EXACTNESS.split("\n")
    yield from objectives(sizes.mixture)
    yield from exactness(min(10_000, sizes.mixture[0]))
