"""Hidden state sequences: smoothing, Viterbi, backward sampling and forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array, lax, random

from ppl_models import memory
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.sequences.autoregressive import as_autoregressive
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.posterior import chain_paths
from ppl_models.posterior.density.possible import refuse_impossible
from ppl_models.posterior.result.names import component_labels
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.posterior.simulate.predictive import resampled
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure


def state_probabilities(
    tree: xr.DataTree, data: Any = None, *, by_draw: bool = False, draws: int | None = None
) -> xr.DataArray:
    """Smoothed probabilities P(state | whole sequence) of every step, averaged over draws.

    Where draws number states differently their mean says nothing: ``relabel`` first.

    The forward-backward algorithm; Rabiner (1989), A tutorial on hidden Markov models, §III.A.

    Args:
        tree: a fit of a program with hidden paths.
        data: sequences in any container that ``fit`` takes (default: the fitted ones).
        by_draw: one table a draw instead of their mean.
        draws: use at most this many draws a chain.

    Returns:
        ``(sequence, position, state)``, NaN after a sequence's end; chain and draw before it if
        ``by_draw``. Of a program's own chain of discrete sites ``(step, state)``, and so of the
        paths below.

    Raises:
        InputError: a program without paths, or sequences that do not fit.
        UnsupportedError: sequences that are assigned to clusters, each with states of its own.

    >>> from ppl_models import fit
    >>> options = {"method": "em", "seed": 0, "states": 2, "starts": 1, "predictive": 0}
    >>> tree = fit("hidden_markov", [[0.1, -0.2, 9.0], [9.2, 9.1]], **options)
    >>> state_probabilities(tree).round(2)[1, :, 0].values.tolist()
    [1.0, 1.0, nan]
    """
    with scope(tree.attrs.get("precision", "float64")):
        restored = _restore(tree, data, draws)
        if restored.structure.chain is not None:
            return chain_paths.state_probabilities(restored, by_draw=by_draw)
        pieces = []
        for model, structure in _in_blocks(restored, _count(restored) if by_draw else 1):
            probabilities, inside = _shares(
                model, restored.values, structure=structure, by_draw=by_draw
            )
            pieces.append(np.where(inside[..., None], np.asarray(probabilities), np.nan))
    table = np.concatenate(pieces, axis=-3)
    dims: tuple[str, ...] = (restored.unit, "position", "state")
    if by_draw:
        table, dims = table.reshape(*restored.shape, *table.shape[1:]), ("chain", "draw", *dims)
    return xr.DataArray(table, _coords(restored, table.shape[-1]), dims, name="state_probabilities")


def best_paths(tree: xr.DataTree, data: Any = None) -> xr.DataArray:
    """The most probable state sequence of every sequence (Viterbi), given the parameters.

    The parameters are those of the draw with the highest posterior density. The path is the most
    probable one as a whole; the sequence of each step's most probable state may have probability
    zero.

    Viterbi (1967); Rabiner (1989), A tutorial on hidden Markov models, §III.B.

    Args:
        tree: a fit of a program with hidden paths.
        data: sequences (default: the fitted ones).

    Returns:
        ``(sequence, position)``, -1 after a sequence's end.

    Raises:
        InputError: a program without paths, or sequences that do not fit.
        UnsupportedError: sequences that are assigned to clusters, each with states of its own.

    >>> from ppl_models import fit
    >>> options = {"method": "em", "seed": 0, "states": 2, "starts": 1, "predictive": 0}
    >>> tree = fit("hidden_markov", [[0.1, -0.2, 9.0], [9.2, 9.1]], **options)
    >>> best_paths(tree).values.tolist()
    [[1, 1, 0], [0, 0, -1]]
    """
    with scope(tree.attrs.get("precision", "float64")):
        restored = _restore(tree, data, None)
        top = int(tree["sample_stats"]["lp"].transpose("chain", "draw").values.argmax())
        values = {n: v[top] for n, v in restored.values.items()}
        if restored.structure.chain is not None:
            return chain_paths.best_paths(restored, values)
        blocks = _in_blocks(restored, 1)
        pieces = [np.asarray(_best(m, values, structure=s)) for m, s in blocks]
    dims = (restored.unit, "position")
    return xr.DataArray(np.concatenate(pieces), _coords(restored), dims, name="best_paths")


def draw_paths(tree: xr.DataTree, data: Any = None, *, draws: int = 100, seed: int) -> xr.DataArray:
    """State sequences drawn by backward sampling, each at another draw of the posterior.

    Forward filtering and backward sampling; Scott (2002), Bayesian methods for hidden Markov
    models, Journal of the American Statistical Association 97.

    Args:
        tree: a fit of a program with hidden paths.
        data: sequences (default: the fitted ones).
        draws: how many paths of every sequence.
        seed: of the random numbers.

    Returns:
        ``(draw, sequence, position)``, -1 after a sequence's end.

    Raises:
        InputError: a number out of range, a program without paths, or sequences that do not fit.
        UnsupportedError: sequences that are assigned to clusters, each with states of its own.

    >>> from ppl_models import fit
    >>> options = {"method": "em", "seed": 0, "states": 2, "starts": 1, "predictive": 0}
    >>> tree = fit("hidden_markov", [[0.1, -0.2, 9.0], [9.2, 9.1]], **options)
    >>> draw_paths(tree, draws=3, seed=0).shape
    (3, 2, 3)
    """
    whole_number("draws", draws)
    whole_number("seed", seed, minimum=0)
    with scope(tree.attrs.get("precision", "float64")):
        restored = _restore(tree, data, None)
        key = random.key(seed)
        values = resampled(restored, key, draws)
        if restored.structure.chain is not None:
            return chain_paths.draw_paths(restored, values, random.split(key, draws))
        pieces = []
        for place, (model, structure) in enumerate(_in_blocks(restored, draws)):
            keys = random.split(random.fold_in(key, place + 1), draws)
            pieces.append(np.asarray(_drawn(model, values, keys, structure=structure)))
    dims = ("draw", restored.unit, "position")
    return xr.DataArray(np.concatenate(pieces, axis=1), _coords(restored), dims, name="draw_paths")


def forecast(
    tree: xr.DataTree, steps: int, data: Any = None, *, draws: int = 1000, seed: int
) -> xr.Dataset:
    """Forecast the sequences: simulate states and observations from each draw's last state.

    Parameters are a draw of the posterior, the last state is drawn given the sequence, and states
    and observations are simulated from there, so that the spread of the draws contains the
    uncertainty of parameters, of the state and of future observations.

    Zucchini and MacDonald (2009), Hidden Markov Models for Time Series, chapter 5.

    Args:
        tree: a fit of a program with hidden paths.
        steps: how many steps ahead.
        data: sequences (default: the fitted ones).
        draws: continuations of every sequence.
        seed: of the random numbers.

    Returns:
        The data site ``(draw, sequence, ahead, ...)`` and ``state (draw, sequence, ahead)``;
        ``ahead`` counts from 1. After an end: missing, and -1.

    Raises:
        InputError: a number out of range, a program without paths, or sequences that do not fit.
        UnsupportedError: sequences that are assigned to clusters, each with states of its own; or
            tokens, whose sequences have ended.

    >>> from ppl_models import fit
    >>> options = {"method": "em", "seed": 0, "states": 2, "starts": 1, "predictive": 0}
    >>> tree = fit("hidden_markov", [[0.1, -0.2, 9.0], [9.2, 9.1]], **options)
    >>> dict(forecast(tree, 5, draws=20, seed=0)["x"].sizes)
    {'draw': 20, 'sequence': 2, 'ahead': 5, 'feature': 1}
    """
    whole_number("steps", steps)
    whole_number("draws", draws)
    whole_number("seed", seed, minimum=0)
    with scope(tree.attrs.get("precision", "float64")):
        restored = _restore(tree, data, None)
        if any(as_autoregressive(f) is not None for f in restored.problem.families.values()):
            raise UnsupportedError(
                f"sequences of {tree.attrs['program']} have ended, so that nothing follows them: "
                "use generate with prefix= for what may follow their first tokens"
            )
        key = random.key(seed)
        values = resampled(restored, key, draws)
        pieces = []
        for place, (model, structure) in enumerate(_in_blocks(restored, draws)):
            keys = random.split(random.fold_in(key, place + 1), draws)
            ahead = _ahead(model, values, keys, structure=structure, steps=steps)
            pieces.append([np.asarray(v) for v in ahead])
    drawn, states = (np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True))
    name = restored.problem.structure.emissions[0]
    event = restored.observed[name].dims[2:]
    dims = ("draw", restored.unit, "ahead")
    coords = {n: c for n, c in _coords(restored).items() if n != "position"}
    coords |= {n: c for n, c in restored.observed[name].coords.items() if n in event}
    return xr.Dataset(
        {name: ((*dims, *event), drawn), "state": (dims, states)},
        coords | {"ahead": np.arange(1, steps + 1)},
    )


def hides_paths(tree: xr.DataTree, data: Any = None) -> bool:
    """Whether the latent variables are state sequences, and no row is assigned to a cluster.

    Args:
        tree: a fit.
        data: sequences that will be asked about (default: the fitted ones).
    """
    with scope(tree.attrs.get("precision", "float64")):
        problem = restore(tree, data).problem
        return problem.structure.assignment is None and problem.latent


def _restore(tree: xr.DataTree, data: Any, draws: int | None) -> RestoredFit:
    restored = restore(tree, data, draws=draws)
    if restored.structure.chain is not None:
        return restored
    if not restored.problem.latent:
        assigned = restored.problem.structure.assignment is not None
        served = "predict for the clusters of rows" if assigned else "log_density"
        raise InputError(f"the program {tree.attrs['program']} has no hidden paths: use {served}")
    if restored.problem.structure.assignment is not None:
        raise UnsupportedError(
            f"sequences of {tree.attrs['program']} are assigned to clusters whose states are their "
            "own: use predict for the clusters, and fit the sequences of one cluster for its states"
        )
    refuse_impossible(restored)
    return restored


def _count(restored: RestoredFit) -> int:
    return restored.shape[0] * restored.shape[1]


def _in_blocks(restored: RestoredFit, times: int) -> Iterator[tuple[Model, Structure]]:
    """The sequences in blocks, so that ``times`` tables of them fit in memory at once."""
    structure = restored.structure
    family = restored.problem.families[structure.emissions[0]]
    each = family.positions * family.states * times  # type: ignore[attr-defined]
    size = max(1, memory.BLOCK_NUMBERS // each)
    for first in range(0, structure.rows, size):
        yield restored.rows(slice(first, first + size))


def _chain(model: Model, values: Globals, structure: Structure) -> tuple[Any, Array]:
    """The family of chains at given global sites, and its data."""
    name = structure.emissions[0]
    return as_family(model.trace_at(values, structure)[name]["fn"]), jnp.asarray(model.data[name])


@partial(jax.jit, static_argnames=("structure", "by_draw"))
def _shares(
    model: Model, values: Globals, *, structure: Structure, by_draw: bool
) -> tuple[Array, Array]:
    """State probabilities ``([draw,] sequence, position, state)``, and which steps exist."""

    def one(held: Globals) -> tuple[Array, Array]:
        chain, data = _chain(model, held, structure)
        return chain.state_probabilities(data), chain.within(data)

    first = jax.tree.map(lambda v: v[0], values)
    inside = one(first)[1]
    if by_draw:
        return lax.map(lambda held: one(held)[0], values), inside
    count = len(jax.tree.leaves(values)[0])

    def add(total: Array, held: Globals) -> tuple[Array, None]:
        return total + one(held)[0] / count, None

    shape = jax.eval_shape(lambda: one(first)[0])
    return lax.scan(add, jnp.zeros(shape.shape, shape.dtype), values)[0], inside


@partial(jax.jit, static_argnames=("structure",))
def _best(model: Model, values: Globals, *, structure: Structure) -> Array:
    chain, data = _chain(model, values, structure)
    return chain.most_likely_states(data)


@partial(jax.jit, static_argnames=("structure",))
def _drawn(model: Model, values: Globals, keys: Array, *, structure: Structure) -> Array:
    def one(pair: tuple[Array, Globals]) -> Array:
        chain, data = _chain(model, pair[1], structure)
        return chain.sample_states(pair[0], data)

    return lax.map(one, (keys, values))


@quickly(static=("structure", "steps"))
def _ahead(
    model: Model, values: Globals, keys: Array, *, structure: Structure, steps: int
) -> tuple[Array, Array]:
    def one(pair: tuple[Array, Globals]) -> tuple[Array, Array]:
        path_key, step_key = random.split(pair[0])
        chain, data = _chain(model, pair[1], structure)
        path = chain.sample_states(path_key, data)
        return chain.continue_states(step_key, path, steps)

    return lax.map(one, (keys, values))


def _coords(restored: RestoredFit, states: int | None = None) -> dict[str, Any]:
    reading = next(iter(restored.observed.values()))
    sizes = dict(zip(reading.dims, reading.values.shape, strict=True))
    known = {
        n: np.asarray(reading.coords.get(n, np.arange(sizes[n])))
        for n in (restored.unit, "position")
    }
    return known if states is None else known | {"state": component_labels(restored.tree, states)}
